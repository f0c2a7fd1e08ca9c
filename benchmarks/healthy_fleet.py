"""False orders on a healthy fleet, and what is found of planted faults, over a simulated year.

    python -m benchmarks.healthy_fleet --seed S [--devices 1000] [--days 365] [--rules FILE.toml] [--quick]

The machines of the simulators (regimes, seasons, drift, outages, lost rows, sensor glitches and hanging sensors),
an hourly row each, go day by day through the streaming engine with its defaults and a fleet that is learned as in
production. First nothing is wrong with them: every order is false. Then faults are planted, and a machine is repaired
a day after its order or, without one, a day after it broke down.

Orders are counted as the field service opens them: one for each device and failure mode while it is open, and none
within seven days after it. Information codes open none. JSON lines.
"""

from __future__ import annotations

import argparse
import json
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import meantime
from analytics.block import Block, Event, Reset
from analytics.definitions import DAY, HOUR, Code, Definition, Metric, Mode, Symptom
from analytics.detectors.protocol import Finding
from analytics.engine import Engine
from analytics.episodes import Episodes
from analytics.rules import Rules
from simulators import readings
from simulators.faults import CodeEvent, Fault, FaultBook, code_events, micros
from simulators.fleet import Machine, fleet, plan_history

BEGIN = datetime(2025, 7, 1, tzinfo=UTC)
REPAIR = DAY  # from the order, or from the breakdown, to the repair
TYPES = Path(meantime.__file__).parent / "device_types"


def definition(path: Path) -> Definition:
    """The device type of a file, as analytics reads it from the database."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    metrics = sorted(
        (Metric(m["name"], m["unit"], m["low"], m["high"]) for m in data["metric"] if "role" not in m),
        key=lambda metric: metric.name,
    )
    modes = sorted(data["failure_mode"], key=lambda mode: str(mode["code"]))
    return Definition(
        data["model"]["code"],
        tuple(metrics),
        tuple(Mode(mode["code"], mode["component"], mode["priority"]) for mode in modes),
        tuple(
            Symptom(mode["code"], one["metric"], one["direction"], one.get("weight", 1.0))
            for mode in modes
            for one in mode["symptoms"]
        ),
        tuple(Code(c["code"], c["severity"], c.get("failure_mode")) for c in data["fault_code"]),
    )


class Fleet:
    """Machines and the engines that watch them."""

    def __init__(self, seed: int, devices: int, faults: Sequence[Fault], rules: Rules) -> None:
        self.seed, self.machines = seed, fleet(seed, devices)
        self.book, self.orders = FaultBook(faults), Episodes()
        self.found: dict[tuple[int, str, int], int] = {}  # first alarm of a fault (number, mode, onset)
        self.engines = {d.model: Engine(d, rules) for d in map(definition, sorted(TYPES.glob("*.toml")))}
        self._by_uid = {machine.uid: machine for machine in self.machines}
        self._resets: list[Reset] = []
        self._due: list[tuple[int, Fault]] = []
        self.rows = 0

    def day(self, after: int, until: int) -> None:
        """Everything of a day (after, until]: what is due is repaired, rows are judged, the fleet is learned."""
        self._repair(until)
        faults = [fault for fault in self.book if fault.onset <= until]
        codes = [
            *readings.information_codes(self.seed, self.machines, after, until),
            *(c for f in faults for c in code_events(f, self._machine(f).spec, self.seed) if after < c.ts <= until),
        ]  # fmt: skip
        for rows in readings.take(self.seed, self.machines, faults, after, until, HOUR):
            self._step(rows, [code for code in codes if self._by_uid[code.uid].model == rows.spec.code])

    def _machine(self, fault: Fault) -> Machine:
        return self._by_uid[fault.uid]

    def _step(self, rows: readings.Rows, codes: list[CodeEvent]) -> None:
        engine = self.engines[rows.spec.code]
        columns = [rows.spec.metrics.index(metric.name) for metric in engine.definition.metrics]
        zero = np.zeros(len(rows.ts), np.int64)
        state = rows.values[:, rows.spec.metrics.index("state")]
        block = Block(zero, rows.number, rows.ts, rows.seq, zero, rows.values[:, columns], state)
        events = [Event(0, self._by_uid[c.uid].number, c.ts, c.code, c.active, 0) for c in codes]
        present = set(rows.number.tolist())
        done = engine.step(block, events, [reset for reset in self._resets if reset.device in present])
        self._resets = [reset for reset in self._resets if reset not in done.applied]
        for device, finding in sorted(done.findings, key=lambda found: found[1].ts):
            self._note(device, finding)
        engine.refresh_fleet()
        self.rows += len(block)

    def _note(self, device: int, finding: Finding) -> None:
        opened = self.orders.take(device, finding)
        for fault in self.book.of(device):
            active = fault.onset <= finding.ts and (fault.repaired is None or finding.ts < fault.repaired)
            if finding.kind == "raise" and active and fault.mode == finding.mode:
                self.found.setdefault((device, fault.mode, fault.onset), finding.ts)
                if opened is not None:
                    self._due.append((finding.ts + REPAIR, fault))

    def _repair(self, until: int) -> None:
        """Repairs that fall into the day; they hold from their time on."""
        standing = [(f.failed + REPAIR, f) for f in self.book if f.repaired is None]
        for ts, fault in [*self._due, *standing]:
            if ts <= until and any(
                f.repaired is None and f.onset == fault.onset for f in self.book.of(fault.number)
            ):
                self.book.repair(fault.number, fault.component, ts)
                self._resets.append(Reset(len(self._resets) + 1, fault.number, ts, fault.component))
        self._due = [(ts, fault) for ts, fault in self._due if ts > until]


def run(seed: int, devices: int, days: int, faults: Sequence[Fault], rules: Rules) -> Fleet:
    """A period of a fleet."""
    its = Fleet(seed, devices, faults, rules)
    for day in range(days):
        begin = micros(BEGIN + timedelta(days=day))
        its.day(begin, begin + DAY)
    return its


def score(its: Fleet) -> dict[str, Any]:
    """What was found of the planted faults. One that shows nothing before it fails cannot be found in time."""
    showing = [f for f in its.book if f.shape != "silent"]
    leads = []
    for fault in showing:
        ts = its.found.get((fault.number, fault.mode, fault.onset))
        if ts is not None and ts < fault.failed:
            leads.append((fault.failed - ts) / HOUR)
    matched = {(number, mode, ts) for (number, mode, _), ts in its.found.items()}
    false = [one for one in its.orders.opened if (one.device, one.mode, one.ts) not in matched]
    return {
        "recall": len(leads) / max(len(showing), 1),
        "leads": leads,
        "faults": len(showing),
        "silent": len(list(its.book)) - len(showing),
        "false": false,
    }


def line(name: str, value: float, **context: Any) -> None:
    """One figure as a JSON line."""
    print(json.dumps({"name": name, "value": round(value, 4), "context": context}), flush=True)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--rules", type=Path, help="changed tuning, as for a backtest")
    parser.add_argument("--quick", action="store_true", help="100 devices, 60 days")
    given = parser.parse_args()
    devices, days = (100, 60) if given.quick else (given.devices, given.days)
    began, years = time.process_time(), devices * days / 365
    rules = Rules.of(tomllib.loads(given.rules.read_text(encoding="utf-8")) if given.rules else None)
    healthy = run(given.seed, devices, days, [], rules)
    opened = healthy.orders.opened
    size = {"seed": given.seed, "devices": devices, "days": days}
    line(
        "healthy_fleet.false_orders_per_device_year", len(opened) / years, **size, orders=len(opened),
        rows=healthy.rows, by_rule=Counter(one.rule for one in opened),
        by_mode=Counter(one.mode for one in opened), cpu_s=round(time.process_time() - began),
    )  # fmt: skip
    its = fleet(given.seed, devices)
    planted = plan_history(given.seed, its, BEGIN, BEGIN + timedelta(days=days))
    found = score(run(given.seed, devices, days, planted, rules))
    line("healthy_fleet.recall", found["recall"], **size, faults=found["faults"], silent=found["silent"])
    leads = np.percentile(found["leads"], [10, 50, 90]) if found["leads"] else np.zeros(3)
    line("healthy_fleet.lead_h_p50", float(leads[1]), p10=round(leads[0], 1), p90=round(leads[2], 1))
    line(
        "healthy_fleet.false_orders_per_device_year_with_faults", len(found["false"]) / years,
        orders=len(found["false"]), by_rule=Counter(one.rule for one in found["false"]),
        cpu_s=round(time.process_time() - began),
    )  # fmt: skip


if __name__ == "__main__":
    main()
