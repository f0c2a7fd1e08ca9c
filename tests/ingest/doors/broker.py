"""A real mosquitto, and what a collector at it has done so far."""

from __future__ import annotations

import shutil
import socket
import subprocess
from pathlib import Path

from kit.database import Conn, scalar
from tests.ingest.doors.helpers import until


class Broker:
    """mosquitto on a free port, with the queue limits that a collector needs; `more` lines go to its configuration."""

    def __init__(self, folder: Path, more: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._file = folder / "mosquitto.conf"
        self._file.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 100000\n"
            f"max_inflight_messages 1000\npersistence false\nlog_type none\n{more}"
        )
        self.start()

    def start(self) -> None:
        program = shutil.which("mosquitto") or "mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._file)])
        until(self._answers)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def subscribed(db: Conn, name: str = "collector") -> bool:
    return bool(scalar(db, "select (detail->>'connections')::int from kit.process where name = %s", (name,)))


def count(db: Conn) -> int:
    return int(scalar(db, "select count(*) from ingest.telemetry"))
