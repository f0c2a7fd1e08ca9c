"""Networks that cut and stall, full disks, clocks that jump, herds, floods, late, shuffled and repeated streams."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.faults.devices import START, Device, Line, reading
from benchmarks.faults.herd import herd
from benchmarks.faults.kills import OwnBroker, devices_of, drained, progress, subscribed
from benchmarks.faults.proxy import Proxy, to_port, to_socket
from benchmarks.faults.stage import Process, Stage, answers, count, finish, free_port, running, until
from ingest.mqtt import packets as p
from ingest.mqtt.encode import encode
from ingest.mqtt.packets import V5
from kit import clock
from kit.settings import Collector

Figures = dict[str, Any]


def _shake(proxy: Proxy, devices: list[Device], times: int, dice: random.Random, silent: float) -> None:
    """Cut or stall again and again, each time after progress was made."""
    for _ in range(times):
        before = progress(devices)
        until(lambda before=before: progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
        time.sleep(dice.uniform(0, 0.2))
        if dice.random() < silent:
            proxy.silence()
        else:
            proxy.cut()


def network_device(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """Between devices and end point."""
    stage.fresh()
    port = free_port()
    with Proxy(to_port(port)) as proxy, running(Process("ingest.endpoint", stage.settings(port))):
        devices = devices_of(stage, proxy.port)
        _shake(proxy, devices, 10 if quick else 60, dice, 0.3)
        finish(devices)
        return {"cuts": proxy.cuts} | count(stage, devices)


def network_broker(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """Between collector and broker; the last cut leaves the connection half open."""
    stage.fresh()
    with OwnBroker() as broker, Proxy(to_port(broker.port)) as proxy:
        settings = stage.settings(0, collector=Collector(host="127.0.0.1", port=proxy.port))
        with running(Process("ingest.collector", settings)):
            subscribed(stage)
            devices = devices_of(stage, broker.port, token=False)
            for number in range(8 if quick else 40):
                before = stage.total()
                until(lambda before=before: stage.total() > before, "a stored row")  # type: ignore[misc]
                time.sleep(dice.uniform(0, 0.2))
                proxy.cut()
                if number == 5:
                    proxy.silence()
            finish(devices)
            drained(stage, devices, patience=100)
        return {"cuts": proxy.cuts} | count(stage, devices)


def network_database(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """Between end point and database, half-open connections among them."""
    stage.fresh()
    port, path = free_port(), f"{stage.server.socket}/.s.PGSQL.5432"
    with Proxy(to_socket(path)) as proxy:
        dsn = stage.dsn.split("@")[0] + f"@127.0.0.1:{proxy.port}" + stage.dsn.split("@")[1].split("?")[0]
        with running(Process("ingest.endpoint", stage.settings(port, database_url=dsn))):
            devices = devices_of(stage, port)
            _shake(proxy, devices, 8 if quick else 40, dice, 0.2)
            finish(devices, 240)
            return {"cuts": proxy.cuts} | count(stage, devices)


def disk_full(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """A cluster on a small tmpfs: it fills up under load, stays full, and is given room again."""
    if os.geteuid():
        return {"skipped": "needs root to mount a tmpfs"}
    folder = Path(tempfile.mkdtemp(prefix="meantime-full-"))
    folder.chmod(0o711)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=768m", "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode:
        folder.rmdir()
        return {"skipped": f"no tmpfs can be mounted here: {done.stderr.strip()}"}
    small = Stage(folder, max_wal_size="64MB", min_wal_size="32MB", shared_buffers="32MB")
    try:
        return _fill(small, folder, dice, 2 if quick else 8)
    finally:
        small.server.stop()
        subprocess.run(["umount", "-l", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(small.server.socket, ignore_errors=True)


def _fill(stage: Stage, folder: Path, dice: random.Random, times: int) -> Figures:
    stage.fresh()
    port, ballast, stops = free_port(), folder / "ballast", 0
    with running(Process("ingest.endpoint", stage.settings(port))):
        devices = devices_of(stage, port)
        for _ in range(times):
            until(lambda before=progress(devices): progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
            _fill_up(ballast)
            before = progress(devices)
            time.sleep(dice.uniform(2, 3))
            stops += progress(devices) - before < 1000
            ballast.unlink(missing_ok=True)
            if not stage.server.is_running():
                stage.restart()
        finish(devices)
        return {"times_full": times, "stood_still": stops} | count(stage, devices)


def _fill_up(ballast: Path) -> None:
    try:
        with open(ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:  # full, which the database may have managed alone
        return


def clock_jumps(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """The product's clock jumps by hours, forwards and back; the devices' messages keep their own times."""
    stage.fresh()
    port, jumps = free_port(), 10 if quick else 100
    with running(Process("ingest.endpoint", stage.settings(port))):
        devices = devices_of(stage, port)
        for _ in range(jumps):
            before = progress(devices)
            until(lambda before=before: progress(devices) > before, "an acknowledgement")  # type: ignore[misc]
            with stage.connect() as conn:
                clock.set_rate(conn, 1.0, sim=clock.now(conn) + timedelta(hours=dice.uniform(-1, 1)))
        finish(devices)
        return {"jumps": jumps} | count(stage, devices)


def flood(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """One device sends as fast as TCP takes it; two others go on at their pace."""
    stage.fresh()
    port, stop = free_port(), threading.Event()
    tokens = dict(stage.tokens)
    with running(Process("ingest.endpoint", stage.settings(port))):
        until(lambda: answers(port), "the end point")
        flooder = Device(port, "p-3", tokens["p-3"], window=5_000, pause=0)
        quiet = [Device(port, uid, tokens[uid], window=20, pause=0.01) for uid in ("p-1", "p-2")]
        for device in (flooder, *quiet):
            device.start()
        noise = threading.Thread(target=_noise, args=(port, tokens["p-3"], stop))
        noise.start()
        time.sleep(5 if quick else 30)
        stop.set()
        noise.join(10)
        before = [len(device.when) for device in quiet]
        finish([flooder, *quiet])
        detail = _detail(stage)
    return {
        "served_meanwhile": min(before), "buffer_peak": detail["buffer_peak"], "high_water": detail["high_water"],
    } | count(stage, [flooder, *quiet])  # fmt: skip


def _noise(port: int, token: str, stop: threading.Event) -> None:
    """Messages at QoS 0, all the same, as many as the socket takes."""
    line = _second(port, token)
    data = b"".join(encode(V5, p.Publish("meantime/p-3/telemetry", reading(1), 0)) for _ in range(500))
    line.socket.settimeout(1)
    while not stop.is_set():
        try:
            line.socket.sendall(data)
        except TimeoutError:
            return
        except OSError:
            line = _second(port, token)
    line.socket.close()


def _second(port: int, token: str) -> Line:
    """A second connection of p-3."""
    return Line(port, "p-3", token, client_id="p-3-noise")


def _detail(stage: Stage) -> dict[str, Any]:
    with stage.connect() as conn:
        row = conn.execute("select detail from kit.process where name = 'endpoint'").fetchone()
    assert row is not None
    return dict(row[0])


def late_burst(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """Devices come back after 24 h with everything they kept, in arrays of 60, while others are live."""
    size, day = 10 if quick else 100, 1_440
    stage.fresh(size + 2)
    port = free_port()
    with running(Process("ingest.endpoint", stage.settings(port))):
        live = [Device(port, uid, stage.tokens[uid], window=20, pause=0.005) for uid in ("p-1", "p-2")]
        late = [
            Device(port, uid, token, window=8, pause=0, make=_hour)
            for uid, token in stage.tokens.items()
            if uid not in ("p-1", "p-2")
        ]
        for device in live + late:
            device.start()
        until(lambda: all(device.sent >= day // 60 for device in late), "the bursts")
        finish(live + late)
        lost = stored = acknowledged = duplicated = 0
        for device in late:
            there = stage.numbers(device.uid)
            wanted = {(hour - 1) * 60 + minute for hour in device.when for minute in range(60)}
            acknowledged, stored = acknowledged + len(wanted), stored + len(set(there))
            lost, duplicated = lost + len(wanted - set(there)), duplicated + len(there) - len(set(there))
        figures = count(stage, live)
    return {
        "late_devices": size, "sent": figures["sent"] + 60 * sum(device.sent for device in late),
        "acknowledged": figures["acknowledged"] + acknowledged, "stored": figures["stored"] + stored,
        "duplicated": figures["duplicated"] + duplicated, "lost": figures["lost"] + lost,
    }  # fmt: skip


def _hour(number: int) -> bytes:
    """The `number`th hour of readings, one a minute."""
    first = (number - 1) * 60
    items = []
    for n in range(first, first + 60):
        ts = round((START + timedelta(minutes=n % 1_440, milliseconds=n // 1_440)).timestamp() * 1000)
        items.append({"ts": ts, "seq": n, "values": {"vibration": 1.0 + n % 50}})
    return json.dumps(items).encode()


def shuffled(stage: Stage, dice: random.Random, quick: bool) -> Figures:
    """The same messages one to three times in any order, over both doors at once."""
    size = 3_000 if quick else 30_000
    stage.fresh(1)
    port, acknowledged = free_port(), set[int]()
    with OwnBroker() as broker:
        settings = stage.settings(port, collector=Collector(host="127.0.0.1", port=broker.port))
        with running(Process("ingest.endpoint", settings), Process("ingest.collector", settings)):
            until(lambda: answers(port), "the end point")
            subscribed(stage)
            ways = [(port, stage.tokens["p-1"]), (broker.port, None)]
            threads = []
            for to, token in ways:
                order = [n for n in range(1, size + 1) for _ in range(dice.randint(1, 3))]
                dice.shuffle(order)
                given = (to, token, order, acknowledged)
                threads.append(threading.Thread(target=_send_all, args=given))
                threads[-1].start()
            for thread in threads:
                thread.join(120)
            until(lambda: stage.total() >= size, "all rows")
            time.sleep(1)
        there = stage.numbers("p-1")
    return {
        "sent": size, "acknowledged": len(acknowledged), "stored": len(set(there)),
        "duplicated": len(there) - len(set(there)), "lost": len(acknowledged - set(there)),
    }  # fmt: skip


def _send_all(port: int, token: str | None, order: list[int], acknowledged: set[int]) -> None:
    line = Line(port, "p-1", token)
    line.socket.settimeout(60)
    for first in range(0, len(order), 100):
        part = order[first : first + 100]
        line.send(
            *(
                p.Publish("meantime/p-1/telemetry", reading(number), 1, False, (at + 1).to_bytes(2, "big"))
                for at, number in enumerate(part)
            )
        )
        for _ in part:
            answer = line.receive()
            if isinstance(answer, p.Ack) and answer.reason < 0x80:
                acknowledged.add(part[answer.packet_id - 1])
    line.socket.close()


CASES: dict[str, Callable[[Stage, random.Random, bool], Figures]] = {
    case.__name__: case
    for case in (
        network_device, network_broker, network_database, disk_full, clock_jumps, herd, flood, late_burst, shuffled,
    )
}  # fmt: skip
