"""Device-type files: what a model may say, how it fails, and what each repair needs. One file a model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from analytics import limits
from analytics.prediction import settings as prediction
from analytics.recovery import settings as recovery
from fsm_core.catalog import actions as catalog
from ingest import device_types
from kit.database import Conn
from kit.errors import Invalid

FOLDER = Path(__file__).parent


def read(path: Path) -> dict[str, Any]:
    """The file's content.

    Raises:
        Invalid: it cannot be read, or is no TOML; the message says where.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} is not valid TOML: {error}.") from error


def load(conn: Conn, data: dict[str, Any]) -> str:
    """Register or renew a device type with all that belongs to it, in the caller's transaction; its code."""
    device_types.load(conn, data)
    limits.load(conn, data)
    recovery.load(conn, data)
    prediction.load(conn, data)
    catalog.load_solutions(conn, data)
    return str(data["model"]["code"])


def load_shipped(conn: Conn) -> list[str]:
    """The device types that come with Meantime."""
    return [load(conn, read(path)) for path in sorted(FOLDER.glob("*.toml"))]
