"""An edge node as the specification wants it: births with aliases, a sequence, a will with its bdSeq."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ingest.message import Arrival
from ingest.sparkplug.codec import Metric, Payload, Type, encode
from tests.ingest.core.conftest import NOW, ms

Named = tuple[str, Type, str | None]
PUMP: tuple[Named, ...] = (
    ("Vibration", Type.FLOAT, "mm/s"),
    ("Temperature", Type.DOUBLE, "°F"),
    ("Flow", Type.INT16, None),
)


@dataclass
class Edge:
    """Makes the messages of group G, edge E, in order."""

    bd_seq: int = 1
    seq: int = -1
    at: datetime = NOW - timedelta(minutes=30)
    aliases: dict[tuple[str, str], int] = field(default_factory=dict)
    login: str | None = None

    def _next(self) -> int:
        self.seq = (self.seq + 1) % 256
        self.at += timedelta(seconds=1)
        return self.seq

    def _make(self, kind: str, device: str, payload: Payload) -> Arrival:
        topic = f"spBv1.0/G/{kind}/E" + (f"/{device}" if device else "")
        return Arrival(topic, encode(payload), self.login, "edge", self.at)

    def birth(self) -> Arrival:
        self.seq = -1
        seq = self._next()
        metrics = (
            Metric("bdSeq", datatype=Type.INT64, raw=self.bd_seq),
            Metric("Node Control/Rebirth", datatype=Type.BOOLEAN, raw=False),
        )
        return self._make("NBIRTH", "", Payload(ms(self.at), seq, metrics))

    def death(self) -> Arrival:
        self.at += timedelta(seconds=1)
        metrics = (Metric("bdSeq", datatype=Type.INT64, raw=self.bd_seq),)
        return self._make("NDEATH", "", Payload(ms(self.at), None, metrics))

    def device_birth(
        self, device: str, values: tuple[float, ...], named: tuple[Named, ...] = PUMP
    ) -> Arrival:
        metrics = []
        for (name, datatype, unit), value in zip(named, values, strict=True):
            alias = self.aliases.setdefault((device, name), len(self.aliases) + 1)
            raw = float(value) if datatype in (Type.FLOAT, Type.DOUBLE) else int(value)
            metrics.append(Metric(name, alias, None, datatype, raw, unit))
        return self._make("DBIRTH", device, Payload(ms(self.at), self._next(), tuple(metrics)))

    def data(self, device: str, **values: float) -> Arrival:
        """DDATA by alias alone."""
        seq = self._next()
        metrics = tuple(
            Metric(
                None,
                self.aliases[device, name.capitalize()],
                raw=int(value) if name == "flow" else float(value),
            )
            for name, value in values.items()
        )
        return self._make("DDATA", device, Payload(ms(self.at), seq, metrics))

    def send(self, kind: str, device: str, *metrics: Metric) -> Arrival:
        return self._make(kind, device, Payload(ms(self.at), self._next(), metrics))
