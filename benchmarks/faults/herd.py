"""Thousands of devices at once."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import time
from typing import Any

import psutil

from benchmarks.faults.devices import reading
from benchmarks.faults.stage import Process, Stage, answers, free_port, running, until
from ingest.mqtt import Stream
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V5

Figures = dict[str, Any]


async def _one(port: int, uid: str, token: str, number: int, patience: float) -> float | None:
    """Connect, publish one message, wait for its acknowledgement; seconds until then, None when it failed."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(patience):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            hello = encode(V5, p.Connect(V5, uid, username=uid, password=token.encode()))
            writer.write(
                hello + encode(V5, p.Publish(f"meantime/{uid}/telemetry", reading(number), 1, False, b"\0\1"))
            )
            stream = Stream(version=V5)
            while data := await reader.read(4096):
                if any(isinstance(packet, p.Ack) and not packet.reason for packet in stream.feed(data)):
                    await asyncio.sleep(0)
                    _KEPT.append(writer)
                    return time.monotonic() - began
    except (OSError, TimeoutError):
        return None
    return None


_KEPT: list[asyncio.StreamWriter] = []


async def _herd(port: int, tokens: dict[str, str], number: int) -> tuple[set[str], list[float]]:
    """All at once, again until each has its acknowledgement."""
    missing, took = set(tokens), list[float]()
    _KEPT.clear()
    began = time.monotonic()
    while missing and time.monotonic() - began < 180:
        names = sorted(missing)
        found = await asyncio.gather(*(_one(port, uid, tokens[uid], number, 60) for uid in names))
        for uid, seconds in zip(names, found, strict=True):
            if seconds is not None:
                missing.discard(uid)
                took.append(time.monotonic() - began)
    return set(tokens) - missing, took


def herd(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """Thousands of devices connect at once, lose their end point by kill -9, and connect at once again."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    size = min(1_000 if quick else 10_000, hard - 500)
    stage.fresh(1)
    token = _many(stage, size)
    port = free_port()
    door = Process("ingest.endpoint", stage.settings(port))
    times: list[float] = []
    cpu: list[dict[str, float]] = []
    acknowledged = 0
    with running(door):
        until(lambda: answers(port), "the end point")
        for number in (1, 2):
            before = _cpu(stage, door)
            arrived, took = asyncio.run(_herd(port, token, number))
            cpu.append({who: round(seconds - before[who], 1) for who, seconds in _cpu(stage, door).items()})
            acknowledged += len(arrived)
            times.append(round(max(took), 1))
            door.kill()
            door.start()
            until(lambda: answers(port), "the end point")
        with stage.connect() as conn:
            row = conn.execute(
                "select count(distinct (device_id, seq)), count(*) from ingest.telemetry"
            ).fetchone()
    assert row is not None
    return {
        "devices": size, "open_files_allowed": hard, "seconds_until_all_were_served": times,
        "cpu_seconds": cpu, "sent": 2 * size,
        "acknowledged": acknowledged, "stored": row[0], "duplicated": row[1] - row[0],
        "lost": max(0, acknowledged - row[0]),
    }  # fmt: skip


def _cpu(stage: Stage, door: Process) -> dict[str, float]:
    """CPU seconds so far of the devices (this process), the end point, and its connections to PostgreSQL."""

    def of(pid: int) -> float:
        times = psutil.Process(pid).cpu_times()
        return float(times.user + times.system)

    with stage.connect() as conn:
        backends = conn.execute(
            "select pid from pg_stat_activity where application_name like 'endpoint%' and datname = current_database()"
        ).fetchall()
    return {
        "devices": of(os.getpid()), "endpoint": of(door.pid), "postgres": sum(of(pid) for (pid,) in backends)
    }  # fmt: skip


def _many(stage: Stage, size: int) -> dict[str, str]:
    """So many devices more, all with the token of p-1."""
    with stage.connect() as conn, conn.transaction():
        conn.execute(
            "insert into ingest.device (uid, model) select 'h-' || n, %s from generate_series(1, %s) n",
            ("pump-p100", size),
        )
        conn.execute(
            """insert into ingest.credential (device_id, username, secret)
               select d.id, d.uid, c.secret from ingest.device d, ingest.credential c
               where d.uid like 'h-%' and c.username = 'p-1'"""
        )
        conn.execute("analyze ingest.device, ingest.credential")
    return {f"h-{n}": stage.tokens["p-1"] for n in range(1, size + 1)}
