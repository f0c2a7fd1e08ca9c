"""Other Python clients draining a broker's backlog into the same table by the same store."""

from __future__ import annotations

import asyncio
import queue
import time
from datetime import UTC, datetime
from typing import Any

import aiomqtt as aiomqtt_client
from paho.mqtt import client as paho_client
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.brokers import EXPIRY, FILTER
from ingest.message import Arrival
from ingest.store import Store
from kit.database import connect
from kit.settings import Ingest

BATCH = 2000
WHEN = {"paho": "after the commit (manual_ack)", "aiomqtt": "on receipt: it offers nothing else"}


class Writer:
    """Batches of messages by the product's store."""

    def __init__(self, dsn: str) -> None:
        self.conn = connect(dsn, role="meantime_ingest", autocommit=True)
        self.store = Store(Ingest(), door="peer")

    def write(self, messages: list[Any]) -> None:
        now = datetime.now(UTC)
        arrivals = [Arrival(str(each.topic), bytes(each.payload), None, None, now) for each in messages]
        with self.conn.transaction():
            written = self.store.write(self.conn, arrivals)
        self.store.committed(written)


def _expiry() -> Properties:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = EXPIRY
    return properties


def paho(port: int, dsn: str, client_id: str, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds from the first message to the last commit and acknowledgement."""
    writer, inbox, done = Writer(dsn), queue.SimpleQueue[Any](), 0
    client = paho_client.Client(
        CallbackAPIVersion.VERSION2, client_id, protocol=paho_client.MQTTv5, manual_ack=True
    )
    client.on_message = lambda _client, _data, message: inbox.put(message)
    client.on_connect = lambda made, *_: made.subscribe(FILTER, 1)
    client.connect("127.0.0.1", port, 600, clean_start=False, properties=_expiry())
    client.loop_start()
    messages = [inbox.get()]
    began, cpu = time.perf_counter(), time.process_time()
    while done < count:
        while len(messages) < BATCH and not inbox.empty():
            messages.append(inbox.get())
        writer.write(messages)
        for message in messages:
            client.ack(message.mid, message.qos)
        done += len(messages)
        messages = [inbox.get()] if done < count else []
    took = time.perf_counter() - began, time.process_time() - cpu
    client.disconnect()
    client.loop_stop()
    return took


def aiomqtt(port: int, dsn: str, client_id: str, count: int) -> tuple[float, float]:
    """The same with aiomqtt."""
    return asyncio.run(_aiomqtt(Writer(dsn), port, client_id, count))


async def _aiomqtt(writer: Writer, port: int, client_id: str, count: int) -> tuple[float, float]:
    done, messages, began, cpu = 0, list[Any](), 0.0, 0.0
    async with aiomqtt_client.Client(
        "127.0.0.1", port, identifier=client_id, protocol=aiomqtt_client.ProtocolVersion.V5, clean_start=False,
        properties=_expiry(),
    ) as client:  # fmt: skip
        await client.subscribe(FILTER, 1)
        async for message in client.messages:
            if not began:
                began, cpu = time.perf_counter(), time.process_time()
            messages.append(message)
            if len(messages) >= BATCH or done + len(messages) >= count:
                await asyncio.to_thread(writer.write, messages)
                done, messages = done + len(messages), []
            if done >= count:
                break
        return time.perf_counter() - began, time.process_time() - cpu
