"""The run-hours that a batch of telemetry rows tells of: asked for before the rows are stored, counted meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ingest import run_hours
from ingest.rows import Block
from kit.database import Conn


def ask(conn: Conn, blocks: Sequence[Block]) -> run_hours.Asked | None:
    """Ask for the run-hours of the devices whose counters are among the rows; None when there are none."""
    found = [block.device for block in blocks if block.layout.hours is not None]
    return run_hours.ask(conn, np.unique(np.concatenate(found))) if found else None


def counted(blocks: Sequence[Block], known: run_hours.Known | None) -> run_hours.Counted | None:
    """The run-hours that new rows tell of, counted. Pure."""
    if known is None:
        return None
    found = []
    rolls_at: dict[int, float | None] = {}
    for block in blocks:
        if (column := block.layout.hours) is None:
            continue
        raw = block.values[:, column]
        told = ~np.isnan(raw)
        device = block.device[told]
        found.append((device, block.ts[told], raw[told]))
        if block.layout.rolls_at is not None:
            rolls_at |= dict.fromkeys(device.tolist(), block.layout.rolls_at)
    if not found:
        return None
    device, ts, raw = (np.concatenate(columns) for columns in zip(*found, strict=True))
    return run_hours.count(known, device, ts, raw, rolls_at) if len(device) else None
