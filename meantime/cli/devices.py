"""Commands about devices and their messages: device, device-type, dead-letters, storage."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from ingest import registry, storage
from kit import settings as kit_settings
from kit.errors import Invalid
from meantime import device_types
from meantime.cli import dead_letters, output, target

INGEST = "meantime_ingest"


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    device = typer.Typer(help="Devices and their tokens.", no_args_is_help=True)
    device.command("add")(add)
    device.command("import")(import_csv)
    device.command("list")(listing)
    device.command("unknown")(unknown)
    device.command("rotate")(rotate)
    device.command("revoke")(revoke)
    device.command("reinstate")(reinstate)
    app.add_typer(device, name="device")
    kinds = typer.Typer(help="What models may say, how they fail, what repairs need.", no_args_is_help=True)
    kinds.command("add")(add_type)
    kinds.command("list")(list_types)
    app.add_typer(kinds, name="device-type")
    app.add_typer(dead_letters.commands(), name="dead-letters")
    kept = typer.Typer(help="Where telemetry is kept.", no_args_is_help=True)
    kept.command("status")(storage_status)
    app.add_typer(kept, name="storage")


def add(uid: str, model: Annotated[str, typer.Option(help="Code of a device type.")]) -> None:
    """Provision a device; prints its token, once."""
    with target.transaction(INGEST) as conn:
        made = registry.provision(conn, uid, model)
    output.show({"uid": made.uid, "username": made.uid, "token": made.token})


def import_csv(path: Path) -> None:
    """Provision every line of a CSV with the columns uid and model; all or none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}.") from error
    with target.transaction(INGEST) as conn:
        made = registry.provision_csv(conn, text)
    output.table([{"uid": one.uid, "token": one.token} for one in made], ("uid", "token"))


def listing(
    text: Annotated[str | None, typer.Option(help="Part of the uid.")] = None,
    model: str | None = None,
    limit: int = 500,
) -> None:
    """Known devices with their present."""
    with target.transaction(INGEST) as conn:
        found = registry.devices(conn, text=text, model=model, limit=limit)
    output.table(found, ("uid", "model", "status", "online", "last_ts", "messages"))


def unknown() -> None:
    """Uids that knocked without being provisioned."""
    with target.transaction(INGEST) as conn:
        found = registry.unknown(conn)
    output.table(found, ("uid", "door", "messages", "first_seen", "last_seen", "last_topic"))


def rotate(
    uid: str, keep_hours: Annotated[float, typer.Option(help="The old token goes on for so long.")] = 0.0
) -> None:
    """Give a device a new token; prints it, once."""
    with target.transaction(INGEST) as conn:
        made = registry.rotate(conn, uid, keep=timedelta(hours=keep_hours))
    output.show({"uid": made.uid, "token": made.token})


def revoke(uid: str) -> None:
    """Shut a device out."""
    with target.transaction(INGEST) as conn:
        registry.revoke(conn, uid)
    output.show({"uid": uid, "status": "revoked"})


def reinstate(uid: str) -> None:
    """Let a revoked device in again, with a new token; prints it, once."""
    with target.transaction(INGEST) as conn:
        made = registry.reinstate(conn, uid)
    output.show({"uid": made.uid, "token": made.token})


def add_type(path: Path) -> None:
    """Register or renew a device type from its TOML file (docs/device-types.md)."""
    with target.transaction() as conn:
        model = device_types.load(conn, device_types.read(path))
    output.show({"model": model})


def list_types() -> None:
    """Registered models with what they measure."""
    with target.transaction(INGEST) as conn:
        found = conn.execute(
            """select m.code, m.name_en, m.name_zh, string_agg(t.name || ' [' || t.unit || ']', ', ' order by t.name)
               from ingest.model m left join ingest.metric t on t.model = m.code group by m.code order by m.code"""
        ).fetchall()
    names = ("model", "name_en", "name_zh", "metrics")
    output.table([dict(zip(names, row, strict=True)) for row in found], names)


def storage_status() -> None:
    """Level, chunks, sizes, oldest row, and what this server's edition cannot do."""
    with target.transaction(INGEST) as conn:
        found = storage.status(conn)
    if output.is_json():
        output.show(found)
        return
    chunks, missing = found.pop("chunks"), found.pop("missing")
    sized = ("bytes", "rollup_bytes", "dead_letter_bytes", "dead_letter_bytes_most")
    sizes = {name: output.size(found[name]) for name in sized}
    output.show(found | sizes | {"chunks": len(chunks), "chunk_days": f"{found['chunk_days']} d"})
    language = kit_settings.load().language
    for lack in missing:
        print(f"missing: {lack[f'text_{language}']}")
    if chunks:
        print()
        told = [chunk | {"bytes": output.size(chunk["bytes"])} for chunk in chunks]
        output.table(told, ("name", "since", "until", "bytes", "compressed"))
