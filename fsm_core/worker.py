"""The process of the field-service core: episodes and orders, settlement, SLA, maintenance, messages."""

from __future__ import annotations

from fsm_core.messages import worker as messages
from fsm_core.plans import maintenance
from fsm_core.plans import worker as plans
from fsm_core.sla import worker as sla
from kit.process import Worker
from kit.settings import Settings


def make_worker(dsn: str, settings: Settings) -> Worker:
    """Followers first, then jobs, on one connection in the role of this package."""
    from fsm_core.settlement import worker as settlement

    return Worker(
        "fsm",
        dsn,
        "meantime_fsm",
        followers=[*plans.followers(settings), *settlement.followers(settings)],
        jobs=[sla.job(), *plans.jobs(), maintenance.job(), messages.job()],
    )
