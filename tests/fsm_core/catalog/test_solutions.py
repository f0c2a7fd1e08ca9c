"""Solutions come from device-type files."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fsm_core.catalog import store
from fsm_core.catalog.actions import load_solutions
from kit.database import Conn, scalar
from kit.errors import Invalid
from tests.fsm_core import factory

DATA: dict[str, Any] = {
    "model": {"code": factory.MODEL},
    "part": [{"sku": "BRG", "name_en": "Bearing", "name_zh": "轴承", "list_price": "860.5"}],
    "failure_mode": [
        {"code": "seal_leak"},
        {
            "code": "bearing_wear",
            "solution": {
                "name_en": "Replace", "name_zh": "更换", "skill": "rotating", "standard_hours": 2.5,
                "parts": [{"sku": "BRG", "quantity": 2}], "checklist_en": ["A", "B"], "checklist_zh": ["甲", "乙"],
            },
        },
    ],
}  # fmt: skip


@pytest.fixture(autouse=True)
def model(db: Conn) -> str:
    return factory.model(db)


def test_loading_twice_is_loading_once(db: Conn) -> None:
    assert load_solutions(db, DATA) == 1
    changed = copy.deepcopy(DATA)
    changed["failure_mode"][1]["solution"]["standard_hours"] = 3
    changed["part"][0]["list_price"] = 900
    assert load_solutions(db, changed) == 1
    (solution,) = store.solutions(db)
    assert (solution["component"], solution["standard_hours"]) == ("bearing", 3)
    assert solution["parts"] == [{"sku": "BRG", "quantity": 2.0}]
    assert scalar(db, "select list_price from fsm.part") == 900


def test_a_part_that_is_known_already_needs_no_entry(db: Conn) -> None:
    factory.part(db, sku="BRG")
    assert load_solutions(db, DATA | {"part": []}) == 1


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("part",), [], "needs part 'BRG'"),
        (("part", 0, "list_price"), -1, "list_price above 0"),
        (("part", 0, "name_zh"), "", "name_zh"),
        (("failure_mode", 1, "code"), "haunted", "no failure mode 'haunted'"),
        (("failure_mode", 1, "solution", "skill"), None, "skill"),
        (("failure_mode", 1, "solution", "standard_hours"), "long", "standard_hours above 0"),
        (("failure_mode", 1, "solution", "checklist_zh"), ["甲"], "checklist_en has 2 items, checklist_zh 1"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(db: Conn, path: tuple[Any, ...], value: Any, says: str) -> None:
    data = copy.deepcopy(DATA)
    target: Any = data
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    with pytest.raises(Invalid, match=says):
        load_solutions(db, data)


def test_the_catalogue_speaks_both_languages(db: Conn) -> None:
    assert all(row["name_en"] and row["name_zh"] for row in store.order_types(db) + store.repair_codes(db))
