"""The state of one edge node: what its births declared, where its sequence stands, who is alive. Pure.

A message out of sequence means that one was lost, and it may have been a birth. From then on names are believed, but
no alias is until the next birth of its device; the edge node is asked to be born again.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Literal

from ingest.sparkplug.codec import Metric, Payload

Order = Literal["next", "again", "gap"]


@dataclass(frozen=True, slots=True)
class Known:
    """What a birth declares of a metric."""

    name: str
    datatype: int | None
    unit: str | None


@dataclass(slots=True)
class Device:
    """One sender of an edge node, or the node itself (name ""); `trusted`: its aliases may be used."""

    online: bool = False
    trusted: bool = False
    aliases: dict[int, Known] = field(default_factory=dict)
    names: dict[str, Known] = field(default_factory=dict)

    def born(self, metrics: tuple[Metric, ...]) -> None:
        """Its birth declares these metrics, and no others any more."""
        found = [(m.alias, Known(m.name, m.datatype, m.unit)) for m in metrics if m.name]
        self.names = {known.name: known for _, known in found}
        self.aliases = {alias: known for alias, known in found if alias is not None}
        self.online = self.trusted = True

    def died(self) -> bool:
        """Its aliases end; returns whether it was alive."""
        was, self.online, self.trusted = self.online, False, False
        return was

    def known(self, metric: Metric) -> Known | None:
        """What is known of a metric; None: it comes by an alias that cannot be resolved."""
        if metric.name:
            return self.names.get(metric.name) or Known(metric.name, metric.datatype, metric.unit)
        if metric.alias is None or not self.trusted:
            return None
        return self.aliases.get(metric.alias)


def _no_digests() -> array[int]:
    return array("I", bytes(4 * 256))


@dataclass(slots=True)
class Node:
    """An edge node.

    Attributes:
        bd_seq: of the last NBIRTH; the NDEATH that belongs to it carries the same.
        seq: of the last message in order; None: never born, or dead.
        born: an NBIRTH was seen since the last death and the last gap.
        digests: checksum of the last message with each sequence number, to tell redelivery from a gap; 0: none.
        births: counts changes of what is declared.
        devices: by name; "" is the node itself.
    """

    bd_seq: int | None = None
    seq: int | None = None
    born: bool = False
    births: int = 0
    digests: array[int] = field(default_factory=_no_digests)
    devices: dict[str, Device] = field(default_factory=lambda: {"": Device()})

    def device(self, name: str) -> Device:
        """A device of this node, unknown until its birth."""
        return self.devices.setdefault(name, Device())

    def birth(self, payload: Payload, digest: int) -> Order:
        """NBIRTH: everything before it is forgotten. Redelivery changes nothing."""
        seq = payload.seq or 0
        if self.born and self.digests[seq] == digest:
            return "again"
        bd_seq = payload.find("bdSeq")
        self.bd_seq = bd_seq if isinstance(bd_seq, int) else None
        self.seq, self.born = seq, True
        self.digests = _no_digests()
        self.digests[seq] = digest
        self.births += 1
        for device in self.devices.values():
            device.trusted = False
        self.device("").born(payload.metrics)
        return "next"

    def follow(self, seq: int | None, digest: int) -> Order:
        """Any message after the birth: is it the next one, one seen before, or were some lost between?"""
        if seq is None:  # some nodes count nothing: their order cannot be checked
            return "next"
        if self.digests[seq] == digest:
            return "again"
        expected = None if self.seq is None else (self.seq + 1) % 256
        self.seq, self.digests[seq] = seq, digest
        if seq == expected:
            return "next"
        self.lost()
        return "gap"

    def lost(self) -> None:
        """Something is missing: no alias is believed until the next births."""
        self.born = False
        self.births += 1
        for device in self.devices.values():
            device.trusted = False

    def device_born(self, name: str, payload: Payload) -> None:
        """DBIRTH."""
        self.births += 1
        self.device(name).born(payload.metrics)

    def device_died(self, name: str) -> None:
        """DDEATH."""
        self.births += 1
        self.device(name).died()

    def death(self, payload: Payload) -> list[str] | None:
        """NDEATH: who died with it ("" is the node). None: it is the will of an older connection, which says
        nothing of this one."""
        bd_seq = payload.find("bdSeq")
        if isinstance(bd_seq, int) and self.bd_seq is not None and bd_seq != self.bd_seq:
            return None
        self.seq, self.born = None, False
        self.digests = _no_digests()
        self.births += 1
        return [name for name, device in self.devices.items() if device.died()]
