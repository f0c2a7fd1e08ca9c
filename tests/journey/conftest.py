"""A demo of its own: own home, own ports, a smaller fleet, a shorter history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kit.settings import environment
from meantime import postgres

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Home:
    """A folder with a Meantime in it."""

    folder: Path

    def environment(self, **changes: object) -> dict[str, str]:
        small = {
            "home": self.folder, "api__port": 0, "endpoint__port": 0, "simulation__devices": 60,
            "simulation__history_days": 21, "simulation__speed": 900, "log_level": "info",
        }  # fmt: skip
        return environment(**(small | changes))

    def start(self, *arguments: str, **changes: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "meantime", *arguments],
            cwd=ROOT, env=self.environment(**changes), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    @property
    def dsn(self) -> str:
        """Of the embedded database, while it runs."""
        data = postgres.data_folder(self.folder)
        return postgres.Server(data, postgres.socket_folder(data), None).dsn()

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.folder / "logs").glob("*.log"))
        )


@pytest.fixture(scope="session")
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="meantime-journey-") as name:
        os.chmod(name, 0o755)
        folder = Path(name) / "home"
        yield Home(folder)
        postgres.remove(postgres.data_folder(folder))


@pytest.fixture(scope="session")
def settled(home: Home) -> list[dict[str, object]]:
    """The lines of a first `demo --until-settled`; the tests look at them and at what it left behind."""
    process = home.start("demo", "--until-settled", "--timeout", "300")
    out, err = process.communicate(timeout=390)
    assert process.returncode == 0, f"{out[-2000:]}\n{err[-2000:]}\n{home.logs()}"
    return [json.loads(line) for line in out.splitlines()]


def wait_for_console(home: Home, process: subprocess.Popen[str], seconds: float = 120) -> str:
    """The console's address, from what the demo prints."""
    assert process.stdout is not None
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        line = process.stdout.readline()
        if line.strip().startswith("Console"):
            return line.split()[-1]
        assert process.poll() is None, home.logs()
    raise AssertionError(f"no address printed\n{home.logs()}")
