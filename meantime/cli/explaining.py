"""The command `explain`: why an order was opened, worked out again from the stored rows, as people read it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from kit import settings as kit_settings
from kit.database import Conn, one
from kit.errors import NotFound
from meantime.cli import output, target

OPENING = ("opened", "reopened", "attached")


def explain(
    order: Annotated[str, typer.Argument(help="Number of an automatic order, e.g. WO-000017.")],
) -> None:
    """Recompute why an order was opened from the stored rows; exit 0 when it follows from them, else 1."""
    from analytics import explain as explanations  # heavy: scikit-learn

    with target.transaction("meantime_reports") as conn:
        head, signals = _signals(conn, order)
        told = [explanations.explain(conn, signal["detection_id"]) for signal in signals]
    if output.is_json():
        for signal, found in zip(signals, told, strict=True):
            output.show(_plain(signal, found))
    else:
        _say(head, signals, told)
    raise typer.Exit(0 if all(found.ok for found in told) else 1)


def _signals(conn: Conn, number: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The order and the detections that opened it or were added to it.

    Raises:
        NotFound: there are none.
    """
    from api.queries import evidence

    head = one(
        conn,
        """select o.id, o.number, o.title_en, o.title_zh, o.opened_at, s.timezone, s.name as site
           from fsm.work_order o join fsm.site s on s.id = o.site_id where o.number = %s""",
        (number,),
    )
    signals = evidence.signals(conn, head["id"]) if head else []
    opening = [one for one in signals if one["kind"] == "raise" and one["outcome"] in OPENING]
    if head is None or not opening:
        raise NotFound(f"{number} was not opened by a detection, or there is no such order.")
    return head, opening


def _plain(signal: dict[str, Any], found: Any) -> dict[str, Any]:
    """One detection for programs."""
    detection = found.detection
    return {
        "detection": signal["detection_id"], "outcome": signal["outcome"], "ok": found.ok, "text": found.text_en,
        "failure_mode": detection["failure_mode"], "rule": detection["rule"], "ts": detection["ts"],
        "score": detection["score"], "drivers": detection["evidence"].get("drivers", []),
    }  # fmt: skip


def _say(head: dict[str, Any], signals: list[dict[str, Any]], told: list[Any]) -> None:
    """The story in sentences, in the language of the installation."""
    from api.console.evidence import sentences
    from api.console.format import instant
    from api.text import words

    t = words(kit_settings.load().language)
    zone = head["timezone"]
    print(f"{head['number']} · {t.pick(head, 'title')} · {head['site']}")
    for signal, found in zip(signals, told, strict=True):
        rule, outcome = t.or_raw("rule", signal["rule"]), t(f"outcome.{signal['outcome']}")
        print(f"\n{instant(signal['ts'], zone, t.language)} · {rule} · {outcome}")
        for sentence in sentences(t, signal):
            print(f"  {sentence}")
        start, end = (instant(signal[key], zone, t.language) for key in ("telemetry_from", "telemetry_to"))
        print(f"  {t('order.provenance', start=start, end=end, hash=signal['telemetry_hash'][:12])}")
        print(f"  {'✓' if found.ok else '✗'} {t.pick(vars(found), 'text')}")
    print(f"\n{t('explanation.true' if all(found.ok for found in told) else 'explanation.false')}")
