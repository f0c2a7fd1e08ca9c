"""Imports what explaining a prediction and watching a model's drift need: seconds of scikit-learn, SciPy and river that
nobody should wait for who asks for them first."""

from __future__ import annotations

import importlib
import threading

AFTER_SECONDS = 90.0  # a process has more urgent things to do when it starts
NEEDED = ("analytics.prediction.scoring", "analytics.prediction.drift")


def up(stop: threading.Event, after: float = AFTER_SECONDS) -> None:
    """Import them on a thread of its own, `after` seconds from now unless `stop` is set by then."""

    def work() -> None:
        for name in NEEDED if not stop.wait(after) else ():
            importlib.import_module(name)

    threading.Thread(target=work, name="warm", daemon=True).start()
