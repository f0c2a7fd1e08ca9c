"""What Sparkplug calls things, and what we call them. Pure.

Topic: `spBv1.0/<group>/<NBIRTH|NDATA|NDEATH>/<edge>` and `spBv1.0/<group>/<DBIRTH|DDATA|DDEATH>/<edge>/<device>`.

uid of a device: the template of the settings, default `{group}:{edge}:{device}`; of the edge node itself the same
without the device: `{group}:{edge}`. With `{device}` as template the node's uid is its edge id. At the end point the
edge node logs in with the node's uid and may speak for its devices, for nobody else's; with a template without the
edge any edge node may speak for any device. A uid has letters, digits and `_ . -`: what else an id has becomes `_`, so
`Plant 1` is `Plant_1`; an id with letters of other scripts becomes what remains of it and its checksum.

Metric: the name in lower case, whatever is no letter or digit as `_`: `Inlet/Temperature` is `inlet_temperature`.
`Faults/<code>` is a fault code, raised while true. `bdSeq`, `Node Control/…`, `Device Control/…`, `Node Info/…` and
`Properties/…` describe the node and are not stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from ingest.message import Refused

NAMESPACE = "spBv1.0"
PREFIX = f"{NAMESPACE}/"
STATE = f"{PREFIX}STATE/"  # of host applications
NODE_KINDS = ("NBIRTH", "NDATA", "NDEATH")
DEVICE_KINDS = ("DBIRTH", "DDATA", "DDEATH")
# What a collector subscribes to: not commands, which are for the edge nodes.
FILTERS = tuple(f"{PREFIX}+/{kind}/+" for kind in NODE_KINDS) + tuple(
    f"{PREFIX}+/{kind}/+/+" for kind in DEVICE_KINDS
)
REBIRTH = "Node Control/Rebirth"
FAULTS = "Faults/"
LONGEST = 100
_NOT_STORED = ("Node Control/", "Device Control/", "Node Info/", "Properties/")
_OTHER = re.compile(r"[^a-z0-9]+")
_NOT_IN_UID = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Address:
    """Who speaks, and what kind of message it is; `device` is "" for the edge node itself."""

    group: str
    kind: str
    edge: str
    device: str

    @property
    def node(self) -> str:
        """Identity of the edge node."""
        return f"{self.group}/{self.edge}"

    @property
    def command_topic(self) -> str:
        """Where the edge node listens."""
        return f"{PREFIX}{self.group}/NCMD/{self.edge}"

    @property
    def data_topic(self) -> str:
        """Where this sender's data comes from."""
        if self.device:
            return f"{PREFIX}{self.group}/DDATA/{self.edge}/{self.device}"
        return f"{PREFIX}{self.group}/NDATA/{self.edge}"


def address(topic: str) -> Address | None:
    """The address in a topic; None when it is none of Sparkplug's that carry state or data.

    Raises:
        Refused: unknown_topic: it is in the namespace, but not built like that.
    """
    if not topic.startswith(PREFIX):
        return None
    _, group, *rest = topic.split("/")
    kinds = {2: NODE_KINDS, 3: DEVICE_KINDS}.get(len(rest), ())
    if not rest or rest[0] not in kinds or not all(0 < len(part) <= LONGEST for part in (group, *rest)):
        raise Refused(
            "unknown_topic",
            f"Expected {PREFIX}<group>/{'|'.join(NODE_KINDS)}/<edge> or {PREFIX}<group>/{'|'.join(DEVICE_KINDS)}"
            f"/<edge>/<device>, each part of at most {LONGEST} characters.",
        )
    return Address(group, rest[0], rest[1], rest[2] if len(rest) == 3 else "")


def uid(template: str, group: str, edge: str, device: str) -> str:
    """Our name of a device (or of the edge node: device "")."""
    edge = _plain(edge)
    name = template.format(group=_plain(group), edge=edge, device=_plain(device))
    return name.lstrip(":._-") if device else name.strip(":._-") or edge


@lru_cache(10_000)
def _plain(part: str) -> str:
    """An id as it may stand in a uid. No `:`, which separates the parts: nobody shall look like another's device."""
    plain = _NOT_IN_UID.sub("_", part)
    if part.isascii():
        return plain
    return f"{plain.strip('_')}{crc32(part.encode('utf-8', 'replace')):08x}"


@lru_cache(10_000)
def metric(name: str) -> str | None:
    """Our name of a metric; None: it is not stored."""
    if name == "bdSeq" or name.startswith(_NOT_STORED):
        return None
    return _OTHER.sub("_", name.lower()).strip("_") or name


def commands(group: str, edge: str) -> frozenset[str]:
    """Topic filters an edge node may subscribe to: the commands to it and to its devices."""
    node, devices = f"{PREFIX}{group}/NCMD/{edge}", f"{PREFIX}{group}/DCMD/{edge}"
    return frozenset((node, f"{node}/#", f"{devices}/+", f"{devices}/#"))
