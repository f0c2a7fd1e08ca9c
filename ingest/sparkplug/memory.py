"""The state of edge nodes in the database. First argument the connection; never commits."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from datetime import timedelta

from psycopg.types.json import Jsonb

from ingest.message import Arrival
from ingest.sparkplug.node import Device, Known, Node
from kit.database import Conn, rows

ASK_AGAIN = timedelta(seconds=20)
MOST_HELD = 2_000


def load(conn: Conn, names: Iterable[str], known: dict[str, Node]) -> dict[str, Node]:
    """The nodes, locked until the transaction ends; new ones as nobody has heard of them.

    What their births declared is taken from `known` where it has not changed since.
    """
    wanted = sorted(set(names))
    conn.execute(
        "insert into ingest.sparkplug_node (node) select unnest(%s::text[]) on conflict do nothing", (wanted,)
    )
    found = rows(
        conn,
        """select node, bd_seq, seq, born, births, digests from ingest.sparkplug_node where node = any(%s)
           order by node for update""",
        (wanted,),
    )
    nodes = {}
    for row in found:
        node = Node(row["bd_seq"], row["seq"], row["born"], row["births"])
        if row["digests"] is not None:
            node.digests = _native(array("I", row["digests"]))
        if (old := known.get(row["node"])) is not None and old.births == node.births:
            node.devices = old.devices
        nodes[row["node"]] = node
    _declarations(
        conn,
        {
            name: node
            for name, node in nodes.items()
            if name not in known or node.devices is not known[name].devices
        },
    )
    return nodes


def _declarations(conn: Conn, nodes: dict[str, Node]) -> None:
    if not nodes:
        return
    for row in rows(conn, "select * from ingest.sparkplug_device where node = any(%s)", (list(nodes),)):
        device = Device(row["online"], row["trusted"])
        for name, alias, datatype, unit in row["metrics"]:
            device.names[name] = known = Known(name, datatype, unit)
            if alias is not None:
                device.aliases[alias] = known
        nodes[row["node"]].devices[row["device"]] = device


def save(conn: Conn, nodes: dict[str, Node], changed: set[str]) -> None:
    """Write the nodes back; of the `changed` ones also what their births declared."""
    ordered = sorted(nodes.items())
    conn.execute(
        """update ingest.sparkplug_node n set bd_seq = u.bd_seq, seq = u.seq, born = u.born, births = u.births,
               digests = u.digests
           from unnest(%s::text[], %s::bigint[], %s::int[], %s::bool[], %s::bigint[], %s::bytea[])
                as u(node, bd_seq, seq, born, births, digests) where n.node = u.node""",
        (
            [name for name, _ in ordered], [node.bd_seq for _, node in ordered],
            [node.seq for _, node in ordered], [node.born for _, node in ordered],
            [node.births for _, node in ordered], [_native(node.digests).tobytes() for _, node in ordered],
        ),
    )  # fmt: skip
    if not changed:
        return
    lines = [
        (name, device, state) for name in sorted(changed) for device, state in nodes[name].devices.items()
    ]
    with conn.cursor() as cursor:
        cursor.executemany(
            """insert into ingest.sparkplug_device as d (node, device, online, trusted, metrics)
               values (%s, %s, %s, %s, %s) on conflict (node, device) do update set online = excluded.online,
                   trusted = excluded.trusted, metrics = excluded.metrics
               where (d.online, d.trusted, d.metrics) is distinct from
                     (excluded.online, excluded.trusted, excluded.metrics)""",
            [
                (name, device, state.online, state.trusted, Jsonb(_declared(state)))
                for name, device, state in lines
            ],
        )


def to_ask(conn: Conn, names: Iterable[str]) -> list[str]:
    """Those of the nodes that have not been asked for a rebirth lately; now they have."""
    found = conn.execute(
        """update ingest.sparkplug_node set asked_at = clock_timestamp()
           where node = any(%s) and (asked_at is null or asked_at < clock_timestamp() - %s) returning node""",
        (sorted(names), ASK_AGAIN),
    )
    return sorted(name for (name,) in found)


def held(conn: Conn, topic: str) -> list[tuple[int, Arrival]]:
    """Messages of that topic that lie in the dead letters because their aliases had no birth, in order."""
    found = conn.execute(
        """select id, topic, payload, device_uid, client_id, received_at from ingest.dead_letter
           where reason = 'no_birth' and topic = %s and replayed_at is null and size = length(payload)
           order by id limit %s for update skip locked""",
        (topic, MOST_HELD),
    )
    return [(number, Arrival(topic, bytes(payload), *rest)) for number, topic, payload, *rest in found]


def released(conn: Conn, letters: list[int]) -> None:
    """Those letters are stored after all."""
    conn.execute("update ingest.dead_letter set replayed_at = kit.now() where id = any(%s)", (letters,))


def registered(conn: Conn, uids: Iterable[str]) -> set[str]:
    """Those of the uids that are devices."""
    found = conn.execute("select uid from ingest.device where uid = any(%s)", (sorted(set(uids)),))
    return {uid for (uid,) in found}


def _declared(device: Device) -> list[list[str | int | None]]:
    alias_of = {known.name: alias for alias, known in device.aliases.items()}
    return [[k.name, alias_of.get(k.name), k.datatype, k.unit] for k in device.names.values()]


def _native(numbers: array[int]) -> array[int]:
    """Little-endian numbers in this machine's order, and back."""
    if sys.byteorder == "big":
        numbers = array("I", numbers)
        numbers.byteswap()
    return numbers
