"""Fixed limits come from the device-type file, and a wrong one is refused with what would be right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analytics import limits, worker
from analytics.definitions import DAY
from kit import follow
from kit.database import Conn
from kit.errors import Invalid
from kit.settings import Settings
from tests.analytics import machines, stored
from tests.analytics.machines import PUMP, START, VIBRATION

GOOD = {"metric": "vibration", "high": 11.0, "failure_mode": "bearing_wear", "severity": 1, "band": 1.0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "vibratoin"}, "metric must be one of bearing_temperature"),
        ({"failure_mode": "wear"}, "failure_mode must be one of bearing_wear"),
        ({"low": 1.0}, "either high or low"),
        ({"high": 70.0}, "high must be a number from 0 to 60, not 70"),
        ({"severity": 5}, "severity must be 1, 2, 3 or 4, not 5"),
        ({"minutes": -1}, "minutes must be a number"),
        ({"hysteresis": 1}, "'hysteresis' is unknown"),
    ],
)
def test_a_wrong_limit_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        limits.check(PUMP, {"limit": [GOOD | change]})


def test_a_limit_raises_while_it_is_passed_and_clears_when_the_value_is_well_inside(db: Conn) -> None:
    devices = stored.prepare(db, 2)
    assert limits.load(db, {"model": {"code": stored.MODEL}, "limit": [GOOD]}) == 1
    block = machines.rows(devices, machines.times(1, 10))
    high = (block.device == devices[0]) & (block.ts >= START + DAY // 4) & (block.ts < START + DAY // 2)
    block.values[high, VIBRATION] += 10.0
    block.values[(block.device == devices[0]) & (block.state == 0), VIBRATION] = 0.1
    stored.write(db, block)
    follow.catch_up(db, worker.followers(Settings()))
    found = db.execute(
        """select device_id, kind, rule, severity, (evidence #>> '{drivers,0,limit}')::float
           from analytics.detection order by ts"""
    ).fetchall()
    assert found == [(devices[0], "raise", "limit", 1, 11.0), (devices[0], "clear", "limit", 1, None)]
    assert np.isfinite(block.values).all()
