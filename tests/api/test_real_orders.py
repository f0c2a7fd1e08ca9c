"""What a what-if's page says of the orders that were really opened."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from analytics.whatif import store as backtests
from api.console.real_orders import concluded
from api.text import words
from kit.database import connect
from tests.api.conftest import Installation

NOTHING = {"right": 0, "false": 0, "undecided": 0}


def real(stay: int, vanish: int = 0, missing: int = 0, **of: int) -> dict[str, Any]:
    return {
        "orders": stay + vanish + missing, "again": stay + vanish, "missing": [], "stay": stay, "vanish": vanish,
        "vanish_verdicts": NOTHING | of, "listed": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (real(0), ["No automatic order was opened"]),
        (real(20), ["all of them again", "lose none"]),
        (real(19, missing=1), ["all but 1 of 20", "lose none"]),
        (real(10, missing=5), ["do not open 5 of 15", "lose none"]),
        (real(0, missing=3), ["do not open 3 of 3", "nothing follows"]),
        (real(8, 4, false=4), ["all of them again", "Every order that vanishes was needless (4)"]),
        (
            real(8, 4, false=3, undecided=1),
            ["all of them again", "needless 3, not decided yet 1. Run it again"],
        ),
        (real(8, 4, false=1, right=3), ["all of them again", "right 3 (a repair found a fault), needless 1"]),
    ],
)
def test_the_conclusion_says_how_far_to_trust_the_rerun_and_what_the_rules_cost_or_save(
    found: dict[str, Any], says: list[str]
) -> None:
    english, chinese = concluded(words("en"), found), concluded(words("zh"), found)
    assert len(english) == len(chinese) == len(says)
    for sentence, part in zip(english, says, strict=True):
        assert part in sentence
    for told in chinese:
        assert not re.search("[A-Za-z]{3}", told), "nothing English is left"


def kept(installation: Installation, result_real: dict[str, Any]) -> int:
    """A finished what-if with such real orders; its number."""
    side = {
        "orders": 0, "right": 0, "false": 0, "undecided": 0, "failures": 0, "announced": 0, "recall": None,
        "precision": None, "lead_hours": None, "cost": 0.0,
    }  # fmt: skip
    result: dict[str, Any] = {
        "rows": 0, "horizon_hours": 720, "tuning_id": None, "counts": {"appear": 0, "vanish": 0, "stay": 0},
        "live": side, "changed": side, "cost_difference": 0.0, "models": [], "orders": [], "left_out": 0,
        "predictions": {"live": [], "changed": []}, "learned": [], "differences": [], "real": result_real,
        "failures": [],
    }  # fmt: skip
    start, end = (datetime(2026, 3, day, tzinfo=UTC) for day in (2, 6))
    with connect(installation.dsn, role="meantime_analytics", autocommit=True) as conn:
        number = backtests.request(conn, start, end, None, {}, "a test")
        conn.execute(
            "update analytics.backtest set state = 'done', seconds = 1, result = %s where id = %s",
            (Jsonb(result), number),
        )
    return number


def test_the_page_counts_the_real_orders_and_leads_to_each(installation: Installation) -> None:
    order = installation.scene.at_work
    one = {"device_uid": "pump-001", "model": "pump-p100", "failure_mode": "bearing_wear"}
    found = real(1, 1, 1, right=1) | {
        "listed": [
            one | {"id": order, "number": "WO-000001", "fate": "vanish", "verdict": "right"},
            one | {"id": order + 1, "number": "WO-000002", "fate": "stay", "verdict": "false"},
            one | {"id": order + 2, "number": "WO-000003", "fate": "missing", "verdict": None},
        ]
    }
    path = f"/analytics/backtests/{kept(installation, found)}"
    for login, heading, lost in (
        ("manager", "really opened", "right 1"),
        ("jingli", "实际开出", "正确 1 张"),
    ):
        page = installation.browser(login).get(path).text
        section = page.split('aria-labelledby="real"')[1].split("</section>")[0]
        assert heading in section
        assert re.findall(r"<b>(\d+)</b>", section) == ["3", "1", "1", "1"]
        assert lost in section
        assert re.findall(r'href="/orders/(\d+)"', section) == [str(order), str(order + 1), str(order + 2)]


def test_a_long_list_says_how_many_more_there_are(installation: Installation) -> None:
    one = {"device_uid": "pump-001", "model": "pump-p100", "failure_mode": "bearing_wear"}
    found = real(7) | {"listed": [one | {"id": 1, "number": "WO-000001", "fate": "stay", "verdict": "right"}]}
    page = installation.browser("manager").get(f"/analytics/backtests/{kept(installation, found)}").text
    assert "and 6 more" in page


def test_a_result_from_before_fates_were_kept_still_says_what_it_knows(installation: Installation) -> None:
    old = {"orders": 4, "again": 3, "missing": ["WO-000009"]}
    page = installation.browser("manager").get(f"/analytics/backtests/{kept(installation, old)}").text
    assert "the rules in force open 3 of them again" in page
    assert "WO-000009" in page
    assert 'aria-labelledby="real"' not in page
