"""The rules of the house: who imports whom, who reads the environment, what must not be committed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("kit", "ingest", "analytics", "fsm_core", "api", "dashboards", "simulators", "meantime")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def test_packages_import_only_what_the_architecture_allows() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]


def test_only_the_settings_read_the_environment() -> None:
    reads = re.compile(r"os\.environ(\.get|\[)|os\.getenv")
    found = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if reads.search(text(path))
    ]
    assert found == []


def test_nothing_tracked_names_a_registry_host() -> None:
    hosts = re.compile(
        "|".join((r"pyp" r"i\.org", r"pyth" r"onhosted\.org", r"deb\.deb" r"ian\.org", r"npm" r"js\.org"))
    )
    assert [str(path) for path in tracked() if hosts.search(text(path))] == []


def test_locks_hold_no_address() -> None:
    locks = list(ROOT.glob("*.lock"))
    assert locks
    assert [path.name for path in locks if "://" in text(path)] == []


def test_no_module_grows_beyond_one_subject() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if (lines := len(text(path).splitlines())) > 400
    }
    assert long == {}
