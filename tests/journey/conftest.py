"""A demo of its own: own home, own ports, a smaller fleet, a shorter history."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
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

    def logs(self) -> str:
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-3000:]}"
            for path in sorted((self.folder / "logs").glob("*.log"))
        )


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    with tempfile.TemporaryDirectory(prefix="meantime-journey-") as name:
        os.chmod(name, 0o755)
        folder = Path(name) / "home"
        yield Home(folder)
        postgres.remove(postgres.data_folder(folder))
