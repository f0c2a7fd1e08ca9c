"""Feature rows of a device type's stored past, of some devices at a time: features are computed per device, so a fleet
of any size takes no more memory than its largest piece. SQL reads; never commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from analytics.definitions import DAY
from analytics.prediction import features, stored
from analytics.prediction.features import Table
from analytics.prediction.stored import Scope
from kit.database import Conn

ROWS_AT_ONCE = 100_000  # devices × steps; some 100 MB while their features are computed
LOOK_BACK = (features.LOOKBACK_DAYS + features.RECENT_DAYS) * DAY


def tables(conn: Conn, of: Scope, after: int | None = None) -> Iterator[Table]:
    """The rows of which something can be said (see `features.silent`), known later than `after` (µs; None: all), sorted
    by (device, ts); devices as positions in the scope. A piece without any telemetry is left out."""
    if after is not None:
        of = of.since(after - LOOK_BACK)
    at_once = max(1, ROWS_AT_ONCE // (of.last - of.first))
    for start in range(0, len(of.devices), at_once):
        past = stored.read(conn, replace(of, devices=of.devices[start : start + at_once]))
        if past is None:
            continue
        table = features.build(past, None if after is None else after + 1)
        table = table.take(np.flatnonzero(~features.silent(table)))
        yield replace(table, device=table.device + start)
