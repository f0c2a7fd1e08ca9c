"""`meantime explain`: why an order was opened, as people read it and as programs do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from kit.database import connect, scalar
from kit.settings import environment
from tests.api.conftest import Installation

ROOT = Path(__file__).parents[2]


def explain(
    installation: Installation, *options: str, language: str = "en"
) -> subprocess.CompletedProcess[str]:
    with connect(installation.dsn) as conn:
        number = scalar(
            conn,
            """select o.number from fsm.work_order o join fsm.episode_signal s on s.order_id = o.id
               where s.outcome = 'opened' order by o.id limit 1""",
        )
    return subprocess.run(
        [sys.executable, "-m", "meantime", *options, "explain", number],
        env=environment(database_url=installation.dsn, language=language), capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip


def test_people_read_sentences_with_names_and_units_in_their_language(installation: Installation) -> None:
    told = explain(installation)
    assert told.returncode == 1, "the scene's finding was made up, the rows do not lead to it"
    assert "Bearing vibration rose to 5.6 mm/s, where 2.2 mm/s is usual for this machine." in told.stdout
    assert "The limit is 4.5 mm/s." in told.stdout
    assert "The stored rows do not lead to this detection." in told.stdout
    assert not set("{}[]_") & set(told.stdout), told.stdout
    chinese = explain(installation, language="zh")
    assert "5.6 mm/s" in chinese.stdout
    assert "存储的数据未得出此检测结果。" in chinese.stdout


def test_programs_get_the_drivers_as_json(installation: Installation) -> None:
    (line,) = explain(installation, "--json").stdout.splitlines()
    found = json.loads(line)
    assert found["ok"] is False
    assert found["drivers"][0]["metric"] == "vibration"
