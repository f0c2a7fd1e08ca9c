"""A batch of Sparkplug messages into our own, with the state of their edge nodes moved along."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zlib import crc32

from ingest.message import Arrival, Refused
from ingest.sparkplug import memory, names
from ingest.sparkplug.codec import Metric, Payload, Type, decode, encode
from ingest.sparkplug.names import Address
from ingest.sparkplug.node import Device, Node
from kit.database import Conn

MOST_KNOWN = 10_000


@dataclass
class Translated:
    """What became of a batch.

    Attributes:
        arrivals: messages of ours, in order, ready to be stored.
        refused: Sparkplug messages that cannot be used, why, and whose they are.
        commands: (topic, payload) that the door shall send once this is committed.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    refused: list[tuple[Arrival, Refused, str]] = field(default_factory=list)
    commands: list[tuple[str, bytes]] = field(default_factory=list)


def rebirth() -> bytes:
    """The payload of an NCMD that asks an edge node to be born again."""
    now = time.time_ns() // 1_000_000
    return encode(Payload(now, None, (Metric(names.REBIRTH, ts=now, datatype=Type.BOOLEAN, raw=True),)))


class Translator:
    """Every batch reads the nodes it needs and locks them, so several writers may share a node; what births declared
    is kept in memory as long as it has not changed. One per writer, not thread-safe.

    Args:
        prefix: of our own topics.
        template: how a uid is made (`names`).
        live: False when old messages are replayed: they move no state and no sequence.
    """

    def __init__(self, prefix: str, template: str, *, live: bool = True) -> None:
        self._prefix, self._template, self._live = prefix.strip("/"), template, live
        self._known: dict[str, Node] = {}

    def forget(self) -> None:
        """The transaction was undone: so is what it has moved."""
        self._known = {}

    def translate(self, conn: Conn, arrivals: Sequence[Arrival]) -> Translated:
        """All of them, in order; never raises for what a message says."""
        work = _Batch(conn, self._prefix, self._template)
        spoken: list[tuple[Arrival, Address, Payload]] = []
        for arrival in arrivals:
            try:
                if (address := names.address(arrival.topic)) is not None:
                    spoken.append((arrival, address, decode(arrival.payload)))
            except Refused as error:
                work.out.refused.append((arrival, error, arrival.uid or ""))
        if not spoken:
            return work.out
        work.nodes = memory.load(conn, (address.node for _, address, _ in spoken), self._known)
        work.look_up(address for _, address, _ in spoken)
        for arrival, address, payload in spoken:
            if self._live:
                work.take(arrival, address, payload)
            else:
                work.data(arrival, address, payload)
        if self._live:
            work.finish()
            self._keep(work.nodes)
        return work.out

    def _keep(self, nodes: dict[str, Node]) -> None:
        if len(self._known) > MOST_KNOWN:
            self._known = {}
        self._known |= nodes


class _Batch:
    """The work on one batch."""

    def __init__(self, conn: Conn, prefix: str, template: str) -> None:
        self._conn, self._prefix, self._template = conn, prefix, template
        self.nodes: dict[str, Node] = {}
        self.out = Translated()
        self._registered: set[str] = set()
        self._changed: set[str] = set()
        self._ask: dict[str, str] = {}

    def look_up(self, addresses: Iterable[Address]) -> None:
        """Which edge nodes are devices of their own: only of those a state is kept."""
        uids = {self._uid(a, "") for a in addresses}
        self._registered = memory.registered(self._conn, uids)

    def _uid(self, address: Address, device: str) -> str:
        return names.uid(self._template, address.group, address.edge, device)

    def take(self, arrival: Arrival, address: Address, payload: Payload) -> None:
        """One message: move the state, store what it says."""
        node = self.nodes[address.node]
        digest = crc32(arrival.payload, crc32(arrival.topic.encode())) or 1
        match address.kind:
            case "NBIRTH":
                if node.birth(payload, digest) == "next":
                    self._ask.pop(address.node, None)
                    self._born(arrival, address)
                self.data(arrival, address, payload)
            case "NDEATH":
                for name in node.death(payload) or ():
                    self._state(arrival, address, name, False, "death")
                self._changed.add(address.node)
            case _:
                self._in_sequence(arrival, address, payload, node.follow(payload.seq, digest))

    def _in_sequence(self, arrival: Arrival, address: Address, payload: Payload, order: str) -> None:
        node = self.nodes[address.node]
        if order == "gap":
            self._changed.add(address.node)
        if not node.born:
            self._ask[address.node] = address.command_topic
        if address.kind == "DBIRTH" and order != "again":
            node.device_born(address.device, payload)
            self._born(arrival, address)
        if address.kind == "DDEATH":
            if order != "again":
                node.device_died(address.device)
                self._changed.add(address.node)
                self._state(arrival, address, address.device, False, "death")
            return
        self.data(arrival, address, payload)

    def _born(self, arrival: Arrival, address: Address) -> None:
        """A birth: the sender is online, and what waited for these aliases can be read."""
        self._changed.add(address.node)
        self._state(arrival, address, address.device, True, "birth")
        done = []
        for letter, waiting in memory.held(self._conn, address.data_topic):
            if self._again(waiting, address):
                done.append(letter)
        if done:
            memory.released(self._conn, done)
        here = [each for each in self.out.refused if _waits(each, address.data_topic)]
        if not here:
            return
        self.out.refused = [each for each in self.out.refused if not _waits(each, address.data_topic)]
        self.out.refused += [each for each in here if not self._again(each[0], address)]

    def _again(self, waiting: Arrival, address: Address) -> bool:
        """Read a message that waited for a birth; returns whether it could be read."""
        refused = len(self.out.refused)
        self.data(waiting, address, decode(waiting.payload))
        if len(self.out.refused) > refused:
            self.out.refused.pop()
            self._ask.pop(address.node, None)  # it was born just now: what it does not say now it never will
            return False
        return True

    def data(self, arrival: Arrival, address: Address, payload: Payload) -> None:
        """The readings and faults of a message."""
        uid = self._uid(address, address.device)
        device = self.nodes[address.node].device(address.device)
        try:
            rows, faults = _read(device, payload)
        except Refused as error:
            self.out.refused.append((arrival, error, uid))
            self._ask[address.node] = address.command_topic
            return
        if rows:
            self._say(arrival, uid, "telemetry", rows)
        if faults:
            self._say(arrival, uid, "fault", faults)

    def _state(self, arrival: Arrival, address: Address, name: str, online: bool, reason: str) -> None:
        uid = self._uid(address, name)
        if name or uid in self._registered:
            # The time of a death is when we hear of it: a will was written when the connection began.
            at = arrival.received_at.isoformat()
            self._say(arrival, uid, "status", [{"online": online, "ts": at, "reason": reason}])

    def _say(self, arrival: Arrival, uid: str, what: str, items: Sequence[object]) -> None:
        body = json.dumps(items[0] if len(items) == 1 else items, ensure_ascii=False).encode(
            "utf-8", "replace"
        )
        at: datetime = arrival.received_at
        self.out.arrivals.append(Arrival(f"{self._prefix}/{uid}/{what}", body, None, arrival.client_id, at))

    def finish(self) -> None:
        """Write the state back, and ask for rebirths."""
        memory.save(self._conn, self.nodes, self._changed)
        asked = memory.to_ask(self._conn, self._ask) if self._ask else []
        self.out.commands += [(self._ask[node], rebirth()) for node in asked]


def _read(device: Device, payload: Payload) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """Rows and faults of a message, as our JSON has them.

    Raises:
        Refused: no_birth: an alias cannot be resolved.
    """
    rows: dict[int | None, list[dict[str, object]]] = defaultdict(list)
    faults: list[dict[str, object]] = []
    for metric in payload.metrics:
        known = device.known(metric)
        if known is None:
            what = f"alias {metric.alias}" if metric.alias is not None else "a metric without name and alias"
            raise Refused("no_birth", f"{what} has no birth that could be believed; a rebirth was asked for.")
        if metric.transient or metric.null:
            continue
        ts, value = metric.ts if metric.ts is not None else payload.ts, metric.value(known.datatype)
        if known.name.startswith(names.FAULTS):
            faults.append({"ts": ts, "code": known.name.removeprefix(names.FAULTS), "active": bool(value)})
        elif (name := names.metric(known.name)) is not None:
            _place(rows[ts], ts, name, value, metric.unit or known.unit)
    return [row for found in rows.values() for row in found], faults


def _place(rows: list[dict[str, object]], ts: int | None, name: str, value: object, unit: str | None) -> None:
    """Put a value into the row of its moment; a second value of a metric at that moment begins another."""
    number = float(value) if isinstance(value, bool) else value
    row = next((row for row in rows if name not in _dict(row["values"])), None)
    if row is None:
        row = {"ts": ts, "values": {}}
        rows.append(row)
    _dict(row["values"])[name] = number
    if unit is not None:
        _dict(row.setdefault("units", {}))[name] = unit


def _waits(refused: tuple[Arrival, Refused, str], topic: str) -> bool:
    return refused[1].reason == "no_birth" and refused[0].topic == topic


def _dict(found: object) -> dict[str, object]:
    assert isinstance(found, dict)
    return found
