"""kill -9 at random moments."""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.faults.devices import Device
from benchmarks.faults.stage import Broker, Process, Stage, count, finish, free_port, running, until
from benchmarks.log import Cluster
from kit.errors import Unavailable
from kit.settings import Collector, JetStream


def devices_of(stage: Stage, port: int, *, token: bool = True) -> list[Device]:
    made = [Device(port, uid, given if token else None) for uid, given in stage.tokens.items()]
    for device in made:
        device.start()
    return made


def progress(devices: list[Device]) -> int:
    return sum(len(device.when) for device in devices)


def kill_endpoint(stage: Stage, kills: int, dice: random.Random) -> dict[str, Any]:
    """The end point, also while it starts."""
    stage.fresh()
    port = free_port()
    door = Process("ingest.endpoint", stage.settings(port))
    with running(door):
        devices = devices_of(stage, port)
        for number in range(kills):
            if number % 4:  # every fourth is killed wherever it is
                before = progress(devices)
                until(lambda before=before: progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.1))
            door.kill()
            door.start()
        finish(devices)
    return {"kills": kills} | count(stage, devices)


def kill_collector(stage: Stage, kills: int, dice: random.Random) -> dict[str, Any]:
    """The collector, the broker standing."""
    stage.fresh()
    with OwnBroker() as broker:
        settings = stage.settings(0, collector=Collector(host="127.0.0.1", port=broker.port))
        door = Process("ingest.collector", settings)
        with running(door):
            subscribed(stage)
            devices = devices_of(stage, broker.port, token=False)
            for number in range(kills):
                if number % 4:
                    before = stage.total()
                    until(lambda before=before: stage.total() > before, "a stored row")  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.1))
                door.kill()
                door.start()
            finish(devices)
            drained(stage, devices)
        return {"kills": kills} | count(stage, devices)


def kill_backend(stage: Stage, kills: int, dice: random.Random) -> dict[str, Any]:
    """One server process of PostgreSQL: all are restarted by the postmaster, with crash recovery."""
    return _database(stage, kills, dice, _kill_one_backend)


def kill_postgres(stage: Stage, kills: int, dice: random.Random) -> dict[str, Any]:
    """The postmaster: all of PostgreSQL is gone until it is started again."""

    def kill(stage: Stage, dice: random.Random) -> bool:
        pid = stage.server.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        stage.restart()
        return True

    return _database(stage, kills, dice, kill)


def _database(stage: Stage, kills: int, dice: random.Random, kill: Any) -> dict[str, Any]:
    stage.fresh()
    port = free_port()
    done = 0
    with running(Process("ingest.endpoint", stage.settings(port))):
        devices = devices_of(stage, port)
        while done < kills:
            before = progress(devices)
            until(lambda before=before: progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
            time.sleep(dice.uniform(0, 0.2))
            done += kill(stage, dice)
        finish(devices)
    return {"kills": kills} | count(stage, devices)


def _kill_one_backend(stage: Stage, dice: random.Random) -> bool:
    try:
        with stage.connect() as conn:
            found = conn.execute(
                """select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                   and application_name like 'endpoint%'"""
            ).fetchall()
    except (psycopg.Error, Unavailable):
        return False
    if not found:
        return False
    os.kill(dice.choice(found)[0], signal.SIGKILL)
    return True


def kill_broker(stage: Stage, kills: int, dice: random.Random) -> dict[str, Any]:
    """mosquitto with our configuration. What it loses it had acknowledged since its last autosave."""
    stage.fresh()
    killed = []
    with OwnBroker() as broker:
        settings = stage.settings(0, collector=Collector(host="127.0.0.1", port=broker.port))
        with running(Process("ingest.collector", settings)):
            subscribed(stage)
            time.sleep(broker.autosave + 1)  # before that not even the session would survive
            devices = devices_of(stage, broker.port, token=False)
            for _ in range(kills):
                before = progress(devices)
                until(lambda before=before: progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.5))
                killed.append(time.monotonic())
                broker.kill()
                broker.start()
            finish(devices)
            drained(stage, devices, patience=15)
    figures = count(stage, devices)
    lost = {device.uid: device.when.keys() - set(stage.numbers(device.uid)) for device in devices}
    early = [
        moment
        for device in devices
        for number, moment in device.when.items()
        if number in lost[device.uid]
        and not any(-1 <= kill - moment <= broker.autosave + 1 for kill in killed)
    ]
    return {"kills": kills} | figures | {"lost_by_broker": figures["lost"] - len(early), "lost": len(early)}


def kill_log(stage: Stage, kills: int, dice: random.Random) -> dict[str, Any]:
    """With JetStream between door and database, in turn: one of its three servers, a storage worker, the door."""
    folder = Path(tempfile.mkdtemp(prefix="meantime-log-"))
    try:
        cluster = Cluster(folder)
    except SystemExit as reason:
        shutil.rmtree(folder, ignore_errors=True)
        return {"skipped": str(reason)}
    stage.fresh()
    port = free_port()
    log = JetStream(url=cluster.url, replicas=3, partitions=3, gigabytes=0.2)
    settings = stage.settings(port, jetstream=log)
    door = Process("ingest.endpoint", settings)
    workers = [Process("ingest.log.worker", settings, suffix=suffix) for suffix in ("", "-2")]
    try:
        with running(door, *workers):
            devices = devices_of(stage, port)
            for number in range(kills):
                before = progress(devices)
                until(lambda before=before: progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.3))
                if number % 3 == 0:
                    node = dice.randrange(3)
                    cluster.kill(node)
                    time.sleep(dice.uniform(0, 0.5))
                    cluster.start(node)
                else:
                    victim = door if number % 3 == 1 else dice.choice(workers)
                    victim.kill()
                    victim.start()
            finish(devices)
            drained(stage, devices)
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return {"kills": kills} | count(stage, devices)


class OwnBroker:
    """A broker in a folder of its own."""

    def __enter__(self) -> Broker:
        self._folder = Path(tempfile.mkdtemp(prefix="meantime-broker-"))
        self._broker = Broker(self._folder)
        self._broker.start()
        return self._broker

    def __exit__(self, *_: object) -> None:
        self._broker.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def subscribed(stage: Stage) -> None:
    def there() -> bool:
        with stage.connect() as conn:
            row = conn.execute("select 1 from kit.process where (detail->>'connections')::int = 1").fetchone()
            return row is not None

    until(there, "the subscription")


def drained(stage: Stage, devices: list[Device], patience: float = 60) -> None:
    """Wait until all is stored, or nothing more has come for a while."""
    sent, last, since = sum(device.sent for device in devices), -1, time.monotonic()
    while (now := stage.total()) < sent and time.monotonic() - since < patience:
        if now != last:
            last, since = now, time.monotonic()
        time.sleep(0.05)
