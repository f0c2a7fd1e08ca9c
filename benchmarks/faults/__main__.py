"""The command line: see `benchmarks.faults`."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import benchmarks.faults as about
from benchmarks.faults import kills, weather
from benchmarks.faults import stage as stages
from benchmarks.faults.stage import Stage

SEED = 20261124
# Shares of the kills; after one of the database its recovery takes a while.
KILLS: dict[str, tuple[Callable[..., dict[str, Any]], float]] = {
    "kill_endpoint": (kills.kill_endpoint, 0.4),
    "kill_collector": (kills.kill_collector, 0.4),
    "kill_backend": (kills.kill_backend, 0.06),
    "kill_postgres": (kills.kill_postgres, 0.06),
    "kill_broker": (kills.kill_broker, 0.08),
    "kill_log": (kills.kill_log, 0.1),  # beyond the sum of the others
}


def main() -> int:
    """Run the cases; the exit code."""
    parser = argparse.ArgumentParser(
        description=about.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=500, help="in all")
    parser.add_argument("--quick", action="store_true", help="30 kills, a smaller herd")
    parser.add_argument("--only", nargs="*", choices=[*KILLS, *weather.CASES], help="these cases")
    parser.add_argument("--log", help="file for what the doors say")
    given = parser.parse_args()
    stages.LOG = given.log or stages.LOG
    total = 30 if given.quick and given.kills == 500 else given.kills
    logging.disable(logging.ERROR)
    wanted = given.only or [*KILLS, *weather.CASES]
    stage, dice, bad = Stage(), random.Random(SEED), 0
    try:
        for name in wanted:
            bad += _case(name, stage, dice, total, given.quick)
    finally:
        stage.close()
    return 1 if bad else 0


def _case(name: str, stage: Stage, dice: random.Random, total: int, quick: bool) -> bool:
    began = time.monotonic()
    try:
        if name in KILLS:
            run, share = KILLS[name]
            figures = run(stage, max(1, round(total * share)), dice)
        else:
            figures = weather.CASES[name](stage, dice, quick)
    except Exception as error:  # noqa: BLE001 - the other cases shall still run
        figures = {"error": repr(error), "lost": -1, "duplicated": -1}
        print(f"{name}: {error!r}", file=sys.stderr)
    line = {"name": f"ingest.faults.{name}"} | figures | {"seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(line), flush=True)
    return "skipped" not in figures and bool(figures["lost"] or figures["duplicated"])


if __name__ == "__main__":
    sys.exit(main())
