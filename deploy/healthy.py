"""Container health check: `python deploy/healthy.py NAME` succeeds when the process has beaten in the last minute."""

from __future__ import annotations

import sys

from kit import database, settings
from kit.errors import MeantimeError

FRESH_SECONDS = 60


def healthy(dsn: str, name: str) -> bool:
    """Whether `name` has said lately that it is alive."""
    with database.connect(dsn, application="health") as conn:
        return bool(
            database.scalar(
                conn,
                "select beat_at > clock_timestamp() - make_interval(secs => %s) from kit.process where name = %s",
                (FRESH_SECONDS, name),
            )
        )


if __name__ == "__main__":
    try:
        sys.exit(0 if healthy(database.url(settings.load()), sys.argv[1]) else 1)
    except MeantimeError as error:
        sys.exit(error.message)
