"""The log's benchmark, small: every message comes through; its lines have the names that docs/scale.md quotes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.nats
@pytest.mark.slow
def test_a_small_run_brings_every_message_through_and_says_so_in_json() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.log", "--messages", "2000", "--replicas", "1", "--partitions", "2"],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["name"] for line in lines] == ["ingest.log.in.r1", "ingest.log.out.r1"]
    assert all(line["value"] > 0 and line["context"]["messages"] == 2000 for line in lines)
