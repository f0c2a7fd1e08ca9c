"""Detectors: every module in this folder that defines a `Detector` is found and run. One more is one more file."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from analytics.detectors.protocol import Detector


@cache
def discover() -> tuple[type[Detector], ...]:
    """All detectors, by the name of their rule."""
    found: dict[str, type[Detector]] = {}
    for module in pkgutil.iter_modules(__path__):
        for item in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if not (isinstance(item, type) and issubclass(item, Detector) and hasattr(item, "rule")):
                continue  # no detector, or what some have in common
            if found.setdefault(item.rule, item) is not item:
                raise TypeError(f"Two detectors are called {item.rule!r}: {found[item.rule]} and {item}.")
    return tuple(found[rule] for rule in sorted(found))
