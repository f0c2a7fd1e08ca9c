"""How fast the ingest doors store, against limits measured in the same run.

    python -m benchmarks.ingest [--quick] [--only NAME …]

Prints one JSON object a line. Every rate of a door counts rows that are committed (PUBACK follows the commit), with
authentication on and TLS off, into the embedded PostgreSQL with fsync on; at the end of each part the rows are counted.
Collector parts need mosquitto and mosquitto_sub (Debian: apt-get install mosquitto mosquitto-clients).
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable

from benchmarks import brokers
from benchmarks.at_broker import AtBroker
from benchmarks.at_endpoint import AtEndpoint
from benchmarks.bench import Bench, bench

NAMES = ("collector", "endpoint", "latency", "stall", "duplicates", "connections", "sustained", "peers")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="within four minutes: fewer messages, one round")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES)
    given = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if not (brokers.program("mosquitto") and brokers.program("mosquitto_sub")):
        print("no mosquitto or no mosquitto_sub: the collector and its peers are left out", file=sys.stderr)
        given.only = [name for name in given.only if name not in ("collector", "peers")]
    with bench(5000) as made:
        parts = _parts(made, given.quick)
        for name in given.only:
            began = time.perf_counter()
            parts[name]()
            print(f"# {name}: {time.perf_counter() - began:.0f} s", file=sys.stderr)


def _parts(made: Bench, quick: bool) -> dict[str, Callable[[], None]]:
    broker, endpoint = AtBroker(made, quick), AtEndpoint(made, quick)
    return {name: getattr(broker if hasattr(broker, name) else endpoint, name) for name in NAMES}


if __name__ == "__main__":
    main()
