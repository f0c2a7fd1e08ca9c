"""Writes the dashboards' JSON; what is committed under `generated/` is what this makes (a test compares)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from dashboards import fleet, reliability, service
from dashboards.panels import Board, render

BOARDS: Final[tuple[Board, ...]] = (fleet.BOARD, reliability.BOARD, service.BOARD)
FOLDER: Final = Path(__file__).parent / "generated"


def files() -> dict[str, str]:
    """File name → content."""
    return {
        f"{board.uid.removeprefix('meantime-')}.json": json.dumps(render(board), indent=1, ensure_ascii=False)
        + "\n"
        for board in BOARDS
    }


def write(folder: Path = FOLDER) -> list[Path]:
    """Write all dashboards; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for name, text in files().items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
