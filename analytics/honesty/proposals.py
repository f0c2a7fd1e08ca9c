"""Limits that would have been better, for a person to decide on. Pure; nothing here changes anything.

A rule whose orders are too often needless may have its limit raised to where the needless ones would not have been
opened. What that costs is said as well: the right orders whose score at the raise lay below the new limit. They come
later, when their score has grown, or not at all; only a backtest with the proposed rules can tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from analytics.honesty.scores import Raise
from analytics.rules import Rules

FEWEST = 10  # decided orders on which a proposal may rest
TARGET = 0.7  # precision that a service desk puts up with
LOSS = 0.1  # share of the right orders that may come later
MOST = 2.0  # no limit is proposed at more than so many times its present value
SCALED = {"shift": ("limit", "sum_limit"), "spike": ("z",), "joint": ("limit",)}
"""The settings of each rule that its score is measured against."""


@dataclass(frozen=True)
class Proposal:
    """What might be set otherwise, and what it would have done to the orders known.

    Attributes:
        factor: new limit ÷ present limit.
        rules: for `meantime backtest --rules` and, if it holds, for `analytics.tuning.change`.
        avoided, delayed: needless and right orders below the new limit.
        orders: what it rests on: (order, verdict, score at the raise) of each decided order, ascending by score.
    """

    model: str
    rule: str
    factor: float
    rules: Mapping[str, Any]
    decided: int
    precision_now: float
    precision_then: float
    avoided: int
    delayed: int
    text_en: str
    text_zh: str
    orders: tuple[tuple[int, str, float], ...] = ()


def propose(raises: Sequence[Raise], in_force: Rules, *, target: float = TARGET) -> list[Proposal]:
    """For each rule on each model that is often wrong; none where too little is decided or no limit would help."""
    found = []
    for model, rule in sorted({(one.model, one.rule) for one in raises}):
        if rule in SCALED and rule in in_force.detectors:
            firsts = _firsts([one for one in raises if (one.model, one.rule) == (model, rule)])
            right = sorted(one.score for one in firsts if one.verdict == "right")
            wrong = sorted(one.score for one in firsts if one.verdict in ("false", "other"))
            if (factor := _factor(right, wrong, target)) is not None:
                proposal = _proposal(model, rule, factor, right, wrong, in_force)
                found.append(replace(proposal, orders=_decided(firsts)))
    return found


def _firsts(raises: Sequence[Raise]) -> list[Raise]:
    """The first raise of each order."""
    orders: dict[int, Raise] = {}
    for one in sorted(raises, key=lambda r: r.raised_at, reverse=True):
        if one.order_id is not None:
            orders[one.order_id] = one
    return list(orders.values())


def _decided(firsts: Sequence[Raise]) -> tuple[tuple[int, str, float], ...]:
    found = [
        (one.order_id, one.verdict, one.score)
        for one in sorted(firsts, key=lambda r: r.score)
        if one.order_id is not None and one.verdict in ("right", "false", "other")
    ]
    return tuple(found)


def _factor(right: Sequence[float], wrong: Sequence[float], target: float) -> float | None:
    """The least limit that reaches the target and costs little; None where none is needed, known or good enough."""
    decided = len(right) + len(wrong)
    if decided < FEWEST or len(right) / decided >= target:
        return None
    for score in wrong:
        factor = round(score * 1.02, 2)
        kept, still = sum(x >= factor for x in right), sum(x >= factor for x in wrong)
        cheap = len(right) - kept <= LOSS * len(right)
        if 1.0 < factor <= MOST and cheap and kept and kept / (kept + still) >= target:
            return factor
    return None


def _proposal(
    model: str, rule: str, factor: float, right: Sequence[float], wrong: Sequence[float], in_force: Rules
) -> Proposal:
    tuning = in_force.detectors[rule]
    rules = {rule: {name: round(getattr(tuning, name) * factor, 3) for name in SCALED[rule]}}
    kept, still = sum(x >= factor for x in right), sum(x >= factor for x in wrong)
    now, then = len(right) / (len(right) + len(wrong)), kept / (kept + still)
    avoided, delayed = len(wrong) - still, len(right) - kept
    settings = ", ".join(f"{rule}.{name} = {value:g}" for name, value in rules[rule].items())
    return Proposal(
        model, rule, factor, rules, len(right) + len(wrong), now, then, avoided, delayed,
        f"{model}: {len(wrong)} of {len(right) + len(wrong)} orders by {rule} were needless. With {settings} "
        f"{avoided} of them would not have been opened and {delayed} right ones later or not at all. "
        f"The setting holds for all models: backtest it before it is changed.",
        f"{model}：{rule} 触发的 {len(right) + len(wrong)} 张工单中有 {len(wrong)} 张无必要。若设为 {settings}，"
        f"其中 {avoided} 张不会产生，{delayed} 张正确工单会推迟或不产生。该设置对所有型号生效：更改前请先回测。",
    )  # fmt: skip
