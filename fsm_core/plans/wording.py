"""What an automatic order says: title and description in both languages, from the evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Names:
    """How people call things: (English, Chinese) of the failure mode, of metrics and of fault codes."""

    uid: str
    mode: tuple[str, str]
    metrics: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    codes: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def title(names: Names) -> tuple[str, str]:
    """“Bearing wear on P-1”, “P-1 轴承磨损”."""
    return f"{names.mode[0]} on {names.uid}", f"{names.uid} {names.mode[1]}"


def description(names: Names, evidence: Mapping[str, Any], rule: str, score: float) -> tuple[str, str]:
    """One line per driver and fault code, then the rule and its score."""
    if evidence.get("run_hours") is not None and evidence.get("within_hours") is not None:
        return _not_recovered(names, evidence)
    drivers = [_driver(names, driver) for driver in _dicts(evidence.get("drivers"))]
    codes = [_code(names, code) for code in _dicts(evidence.get("codes"))]
    last = (f"Found by the rule {rule}, score {score:.1f}.", f"由规则 {rule} 发现，得分 {score:.1f}。")
    lines = [*drivers, *codes, last]
    return "\n".join(en for en, _ in lines), "\n".join(zh for _, zh in lines)


def _not_recovered(names: Names, evidence: Mapping[str, Any]) -> tuple[str, str]:
    """A repair that did not hold: after how many operating hours the signal had not come back, and how far it is."""
    run = f"{evidence['run_hours']:.0f}"
    drivers = [_driver(names, driver) for driver in _dicts(evidence.get("drivers"))]
    first = (
        f"Not back to normal {run} operating hours after the repair.",
        f"维修后运行 {run} 小时信号仍未恢复正常。",
    )
    lines = [first, *drivers]
    return "\n".join(en for en, _ in lines), "\n".join(zh for _, zh in lines)


def _dicts(items: Any) -> Iterable[Mapping[str, Any]]:
    return [item for item in items or () if isinstance(item, dict)]


def _driver(names: Names, driver: Mapping[str, Any]) -> tuple[str, str]:
    metric = str(driver.get("metric", "?"))
    en, zh = names.metrics.get(metric, (metric, metric))
    unit = str(driver.get("unit") or "")
    value, baseline, limit = (_figure(driver.get(name), unit) for name in ("value", "baseline", "limit"))
    against = (f" against a baseline of {baseline}", f"，基线 {baseline}") if baseline else ("", "")
    beyond = (f" (limit {limit})", f"（限值 {limit}）") if limit else ("", "")
    return f"{en} {value}{against[0]}{beyond[0]}.", f"{zh} {value}{against[1]}{beyond[1]}。"


def _code(names: Names, code: Mapping[str, Any]) -> tuple[str, str]:
    name = str(code.get("code", "?"))
    en, zh = names.codes.get(name, ("", ""))
    return f"Fault code {name} {en}".rstrip() + ".", f"故障码 {name} {zh}".rstrip() + "。"


def _figure(value: Any, unit: str) -> str:
    if not isinstance(value, int | float):
        return ""
    return f"{value:.4g} {unit}".rstrip() if unit != "1" else f"{value:.4g}"
