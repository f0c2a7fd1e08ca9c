"""What messages say, by template and language. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

LANGUAGES: Final = ("en", "zh")
MAX_ATTEMPTS: Final = 8
_FIRST_PAUSE = timedelta(minutes=1)

TEMPLATES: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "accepted": {
        "en": ("{number} accepted", "We have accepted your request {number}: {title_en}."),
        "zh": ("{number} 已受理", "您的服务请求 {number} 已受理：{title_zh}。"),
    },
    "confirmed": {
        "en": ("{number}: an engineer is coming", "{engineer} will be with you at {when} for {title_en}."),
        "zh": ("{number}：工程师将上门", "{engineer} 将于 {when} 到达，处理：{title_zh}。"),
    },
    "on_site": {
        "en": ("{number}: the engineer has arrived", "{engineer} has arrived for {title_en}."),
        "zh": ("{number}：工程师已到场", "{engineer} 已到场，处理：{title_zh}。"),
    },
    "work_done": {
        "en": ("{number} done", "The work on {title_en} is done. Thank you."),
        "zh": ("{number} 已完工", "{title_zh} 已完工，感谢您的配合。"),
    },
    "cancelled": {
        "en": ("{number} cancelled", "{number} ({title_en}) was cancelled: {reason}."),
        "zh": ("{number} 已取消", "{number}（{title_zh}）已取消：{reason}。"),
    },
    "alarm": {"en": ("{subject_en}", "{text_en}"), "zh": ("{subject_zh}", "{text_zh}")},
}

CLOCKS: Final = {"accept": ("accept", "受理"), "arrive": ("arrive", "到场"), "complete": ("complete", "完修")}


def render(template: str, language: str, values: Mapping[str, object]) -> tuple[str, str]:
    """Subject and body.

    >>> render("accepted", "en", {"number": "WO-000001", "title_en": "Bearing wear"})[0]
    'WO-000001 accepted'
    """
    subject, body = TEMPLATES[template][language]
    return subject.format_map(values), body.format_map(values)


def sla_text(number: str, kind: str, percent: int, due: datetime) -> tuple[str, str]:
    """What the alarm of an SLA rung says, in both languages; `due` in the local time of its calendar."""
    en, zh = CLOCKS[kind]
    when = f"{due:%Y-%m-%d %H:%M}"
    if percent >= 100:
        return f"{number}: the time to {en} has run out (due {when})", f"{number}：{zh}时限已到（{when}）"
    return (
        f"{number}: {percent} % of the time to {en} has passed (due {when})",
        f"{number}：{zh}时限已过 {percent}%（截止 {when}）",
    )


def next_try(attempts: int, now: datetime) -> datetime | None:
    """When to try again after so many failures; None: give up."""
    return None if attempts >= MAX_ATTEMPTS else now + _FIRST_PAUSE * 2 ** (attempts - 1)
