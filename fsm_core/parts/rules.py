"""What a stock move takes, is worth and posts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, InvalidOperation
from typing import Final

from fsm_core.settlement.money import LEDGER, Posting
from kit.errors import Conflict, Invalid

ZERO: Final = Decimal(0)
_DESK = frozenset({"admin", "manager", "dispatcher", "finance", "system"})
_BOSS = frozenset({"admin", "manager", "finance", "system"})
_FIELD = _DESK | {"engineer", "provider"}

MAY: Final[Mapping[str, frozenset[str]]] = {
    "receive": _DESK,
    "reserve": _FIELD,
    "release": _FIELD,
    "issue": _FIELD,
    "consume": _FIELD,
    "return_unused": _FIELD,
    "return_old": _FIELD,
    "transfer": _FIELD,
    "adjust": _BOSS,
    "write_off": _BOSS,
    "reverse": _BOSS,
}
"""Which roles may do what with stock; counting, writing off and correcting are the manager's."""

_COUNTER: Final = {
    "supplier": "payable_supplier",
    "installed": "work_in_progress",
    "scrap": "stock_difference",
    "adjustment": "stock_difference",
    "defective": "stock_difference",
}


@dataclass(frozen=True)
class Place:
    """A row of fsm.location, as far as moves go."""

    id: int
    code: str
    kind: str
    physical: bool
    valued: bool


@dataclass(frozen=True)
class Balance:
    """What lies at a place: `reserved` of `on_hand` is promised to orders."""

    on_hand: Decimal = ZERO
    reserved: Decimal = ZERO
    value: Decimal = ZERO

    @property
    def free(self) -> Decimal:
        """What nobody has reserved."""
        return self.on_hand - self.reserved


def amount(quantity: object) -> Decimal:
    """A quantity as the ledger keeps it.

    Raises:
        Invalid: it is not a positive number of at most three decimals.
    """
    try:
        number = Decimal(str(quantity))
        good = number.is_finite() and 0 < number < 10**9 and number == round(number, 3)
    except InvalidOperation:
        good = False
    if not good:
        raise Invalid(f"{quantity!r} is not a quantity; use a positive number with at most three decimals")
    return number


def taken_value(balance: Balance, quantity: Decimal) -> Decimal:
    """The value that leaves with `quantity` at moving-average cost; the last piece takes what is left."""
    if quantity == balance.on_hand:
        return balance.value
    return (balance.value * quantity / balance.on_hand).quantize(LEDGER, ROUND_DOWN)


def check_taken(place: Place, balance: Balance, quantity: Decimal, from_reserved: Decimal, part: str) -> None:
    """Refuse to take what is not there, or what is promised to others.

    Raises:
        Conflict: it would leave less than nothing, or less than is reserved.
    """
    if place.physical and quantity > balance.on_hand:
        raise Conflict(f"{place.code} has {balance.on_hand} of {part}, not {quantity}")
    if quantity - from_reserved > balance.free and place.physical:
        raise Conflict(
            f"{place.code} has {balance.on_hand} of {part}, {balance.reserved} of them reserved for orders; "
            f"{quantity} can only be taken after releasing some"
        )


def postings(
    value: Decimal, source: Place, target: Place, currency: str, *, booked: Decimal | None = None
) -> list[Posting]:
    """The journal lines of a move: none while the value stays in the company's inventory, or outside of it.

    Args:
        value: what enters or leaves the inventory.
        booked: what the counter account gets instead, when a reversal undoes another value than
            lies there now; the rest is a stock difference.
    """
    if source.valued == target.valued:
        return []
    sign = 1 if target.valued else -1
    outside = source if target.valued else target
    counter = value if booked is None else booked
    return [
        Posting("inventory", sign * value, currency),
        Posting(_COUNTER[outside.kind], -sign * counter, currency),
        Posting("stock_difference", sign * (counter - value), currency),
    ]


@dataclass(frozen=True)
class Take:
    """So much of a part from one place."""

    part_id: int
    location_id: int
    quantity: Decimal


def pick(
    wanted: Mapping[int, Decimal], places: Sequence[int], free: Mapping[tuple[int, int], Decimal]
) -> tuple[list[Take], dict[int, Decimal]]:
    """Take what is wanted from the places in order.

    Args:
        wanted: part → quantity.
        places: locations, the preferred one first.
        free: (location, part) → unreserved quantity.

    Returns: what to take, and part → what is short.
    """
    takes: list[Take] = []
    short: dict[int, Decimal] = {}
    for part_id, quantity in sorted(wanted.items()):
        left = quantity
        for place in places:
            if (here := min(left, free.get((place, part_id), ZERO))) > 0:
                takes.append(Take(part_id, place, here))
                left -= here
        if left > 0:
            short[part_id] = left
    return takes, short
