"""What a what-if says of the orders that were really opened, in a sentence or two for whoever decides. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.text import Words

CLOSE = 0.1  # of the real orders may be missing before the rerun is called unlike what happened


def concluded(t: Words, real: Mapping[str, Any]) -> list[str]:
    """How far the rerun can be relied on, and what the tried rules would have cost or saved.

    Args:
        real: see `analytics.whatif.real.held_against`.
    """
    if not real["orders"]:
        return [t("whatif.real_none")]
    return [_faithful(t, real), _effect(t, real)]


def _faithful(t: Words, real: Mapping[str, Any]) -> str:
    missing = real["orders"] - real["again"]
    if not missing:
        return t("whatif.real_all", orders=real["orders"])
    key = "real_most" if missing <= CLOSE * real["orders"] else "real_few"
    return t(f"whatif.{key}", orders=real["orders"], missing=missing)


def _effect(t: Words, real: Mapping[str, Any]) -> str:
    if not real["again"]:
        return t("whatif.effect_unknown")
    vanish, of = real["vanish"], real["vanish_verdicts"]
    if not vanish:
        return t("whatif.effect_none")
    if of["right"]:
        return t("whatif.effect_lost", **of)
    if of["undecided"]:
        return t("whatif.effect_open", **of)
    return t("whatif.effect_saved", vanish=vanish)
