"""The device registry: who may publish, and what each shows at the door.

A token is random, shown once, and kept as its sha256. Several may be valid at once while one is rotated.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

from ingest.message import clean
from kit.database import Conn, one, rows
from kit.errors import Conflict, Invalid, NotFound

_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")


@dataclass(frozen=True)
class Device:
    """A device that is known."""

    id: int
    uid: str
    model: str


@dataclass(frozen=True)
class Credentials:
    """What a device needs to log in: username `uid`, password `token` (or the token as username, no password)."""

    device_id: int
    uid: str
    token: str


def provision(conn: Conn, uid: str, model: str, at: datetime | None = None) -> Credentials:
    """Register a device and give it its first token.

    Raises:
        Invalid: the uid is not one.
        NotFound: there is no such model.
        Conflict: the uid is taken.
    """
    return _credentials(conn, [add(conn, uid, model, at)])[0]


def add(conn: Conn, uid: str, model: str, at: datetime | None = None) -> Device:
    """Register a device without a token: behind a broker that checks devices itself. Raises as `provision`."""
    return _add(conn, [(uid, model)], at)[0]


def provision_csv(conn: Conn, text: str) -> list[Credentials]:
    """Provision every line of a CSV with the columns uid and model; all or none within the caller's transaction.

    Raises:
        Invalid, NotFound, Conflict: as `provision`; the message names the line.
    """
    reader = csv.DictReader(io.StringIO(text.lstrip("\ufeff")), skipinitialspace=True)
    try:
        if not {"uid", "model"} <= set(reader.fieldnames or ()):
            raise Invalid(
                f"The CSV needs the columns uid and model in its first line, not {reader.fieldnames}."
            )
        lines = [
            (reader.line_num, (row["uid"] or "").strip(), (row["model"] or "").strip()) for row in reader
        ]
    except csv.Error as error:
        raise Invalid(f"Line {reader.line_num + 1}: {error}.") from error
    wanted = [(uid, model) for _, uid, model in lines]
    return _credentials(conn, _add(conn, wanted, None, lambda number: f"Line {lines[number][0]}: "))


def _add(
    conn: Conn,
    wanted: Sequence[tuple[str, str]],
    at: datetime | None,
    where: Callable[[int], str] = lambda number: "",
) -> list[Device]:
    """Register devices, given as (uid, model), by three statements; `where(number)` begins an error's message."""
    models = sorted(code for (code,) in conn.execute("select code from ingest.model"))
    for number, (uid, model) in enumerate(wanted):
        if not _UID.fullmatch(uid):
            raise Invalid(
                f"{where(number)}Device uid {uid!r}: 1 to 64 letters, digits, or _ . : - , beginning with a letter or "
                "digit."
            )
        if model not in models:
            known = ", ".join(models) or "none yet, load a device type first"
            raise NotFound(f"{where(number)}There is no device model {model!r}. Known: {known}.")
    uids = [uid for uid, _ in wanted]
    made = conn.execute(
        """insert into ingest.device (uid, model, provisioned_at)
           select uid, model, coalesce(%s, kit.now()) from unnest(%s::text[], %s::text[]) as n(uid, model)
           on conflict (uid) do nothing returning uid, id""",
        (at, uids, [model for _, model in wanted]),
    )
    ids, devices = dict(made.fetchall()), list[Device]()
    for number, (uid, model) in enumerate(wanted):
        if uid not in ids:  # or there twice
            raise Conflict(
                f"{where(number)}Device {uid!r} is provisioned already; rotate its token to give it a new one."
            )
        devices.append(Device(ids.pop(uid), uid, model))
    conn.execute("delete from ingest.unknown_device where uid = any(%s)", (uids,))
    return devices


def rotate(conn: Conn, uid: str, *, keep: timedelta = timedelta(0)) -> Credentials:
    """A new token; the old ones stop after `keep` (simulated time).

    Raises:
        NotFound: no such device.
        Conflict: it is revoked.
    """
    device = _locked(conn, uid)
    if device["status"] != "active":
        raise Conflict(f"Device {uid!r} is revoked; reinstate it first.")
    _stop_tokens(conn, device["id"], keep)
    return _credentials(conn, [Device(device["id"], uid, device["model"])])[0]


def revoke(conn: Conn, uid: str) -> None:
    """Shut a device out: its tokens stop at once, its messages are refused on every door; from now on it is offline.

    Raises:
        NotFound: no such device.
    """
    device = _locked(conn, uid)
    conn.execute("update ingest.device set status = 'revoked' where id = %s", (device["id"],))
    # The door that puts it out cannot say so: a revoked device has no say, and its door speaks for it.
    conn.execute(
        """with gone as (
               update ingest.device_status set online = false, online_at = kit.now() where device_id = %s and online
               returning device_id, online_at)
           insert into ingest.device_state (device_id, ts, online, reason)
           select device_id, online_at, false, 'revoked' from gone""",
        (device["id"],),
    )
    _stop_tokens(conn, device["id"], timedelta(0))


def revoked(conn: Conn, uids: Sequence[str]) -> set[str]:
    """Those of the devices that are revoked."""
    found = conn.execute(
        "select uid from ingest.device where uid = any(%s) and status = 'revoked'", (list(uids),)
    )
    return {uid for (uid,) in found}


def reinstate(conn: Conn, uid: str) -> Credentials:
    """Let a revoked device in again, with a new token.

    Raises:
        NotFound: no such device.
        Conflict: it is not revoked.
    """
    device = _locked(conn, uid)
    if device["status"] != "revoked":
        raise Conflict(f"Device {uid!r} is not revoked.")
    conn.execute("update ingest.device set status = 'active' where id = %s", (device["id"],))
    return _credentials(conn, [Device(device["id"], uid, device["model"])])[0]


def authenticate(conn: Conn, username: str, password: str | None) -> Device | None:
    """The device that these credentials belong to, or None. The token may come as the password of the uid, or
    alone as the username (ThingsBoard's way)."""
    return authenticate_all(conn, [(username, password)])[0]


def authenticate_all(conn: Conn, shown: Sequence[tuple[str, str | None]]) -> list[Device | None]:
    """As `authenticate`, for many (username, password) in one query."""
    given = [_digest(password or username) for username, password in shown]
    # A text that PostgreSQL cannot hold is nobody's.
    names = {username for username, password in shown if password and clean(username) == username}
    tokens = {digest for (_, password), digest in zip(shown, given, strict=True) if not password}
    named: dict[str, list[tuple[bytes, Device]]] = {}
    alone: dict[bytes, list[tuple[bytes, Device]]] = {}
    for username, secret, *known in conn.cursor(binary=True).execute(
        """select c.username, c.secret, d.id, d.uid, d.model
           from ingest.credential c join ingest.device d on d.id = c.device_id
           where (c.username = any(%(names)s::text[]) or c.secret = any(%(secrets)s::bytea[]))
             and d.status = 'active' and (c.revoked_at is null or c.revoked_at > kit.now())""",
        {"names": list(names), "secrets": list(tokens)},
    ):
        entry = secret, Device(*known)
        named.setdefault(username, []).append(entry)
        alone.setdefault(secret, []).append(entry)
    return [
        _match(named.get(username, []) if password else alone.get(digest, []), digest)
        for (username, password), digest in zip(shown, given, strict=True)
    ]


def _match(candidates: Sequence[tuple[bytes, Device]], digest: bytes) -> Device | None:
    found = None
    for secret, device in candidates:  # all of them, so that the time tells nothing
        if hmac.compare_digest(secret, digest):
            found = device
    return found


def guests(conn: Conn, uids: Sequence[str]) -> list[Device | None]:
    """Those who come without credentials under these names, None for one that may not: the name is no uid, the device
    is revoked, or it was ever given a token and has to show it. A device nobody knows yet has the id 0 and no
    model."""
    proper = [uid for uid in uids if _UID.fullmatch(uid)]
    known = {
        row["uid"]: row
        for row in rows(
            conn,
            """select d.id, d.uid, d.model, d.status = 'active' and not exists (
                   select from ingest.credential c where c.device_id = d.id) as welcome
               from ingest.device d where d.uid = any(%s)""",
            (proper,),
        )
    }

    def guest(uid: str) -> Device | None:
        if uid not in known:
            return Device(0, uid, "") if _UID.fullmatch(uid) else None
        row = known[uid]
        return Device(row["id"], row["uid"], row["model"]) if row["welcome"] else None

    return [guest(uid) for uid in uids]


def device(conn: Conn, uid: str) -> Device:
    """A device by its uid.

    Raises:
        NotFound: there is none.
    """
    found = one(conn, "select id, uid, model from ingest.device where uid = %s", (uid,))
    if found is None:
        raise NotFound(f"There is no device {uid!r}.")
    return Device(**found)


def devices(
    conn: Conn, *, text: str | None = None, model: str | None = None, after: str = "", limit: int = 500
) -> list[dict[str, Any]]:
    """Devices with their present, by uid; `after` is the last uid of the page before."""
    return rows(
        conn,
        """select d.id, d.uid, d.model, m.name_en as model_en, m.name_zh as model_zh, d.status, d.provisioned_at,
                  coalesce(s.online, false) as online, s.online_at, s.last_ts, s.received_at,
                  coalesce(s.messages, 0) as messages, r.life as run_hours
           from ingest.device d join ingest.model m on m.code = d.model
           left join ingest.device_status s on s.device_id = d.id
           left join ingest.run_hours r on r.device_id = d.id
           where d.uid > %(after)s and (%(model)s::text is null or d.model = %(model)s)
             and (%(text)s::text is null or position(lower(%(text)s) in lower(d.uid)) > 0)
           order by d.uid limit %(limit)s""",
        {"text": text, "model": model, "after": after, "limit": limit},
    )


def unknown(conn: Conn, limit: int = 200) -> list[dict[str, Any]]:
    """Uids that knocked without being provisioned, the latest first."""
    return rows(conn, "select * from ingest.unknown_device order by last_seen desc, uid limit %s", (limit,))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _credentials(conn: Conn, devices: Sequence[Device]) -> list[Credentials]:
    """A new token for each."""
    given = [Credentials(device.id, device.uid, secrets.token_urlsafe(24)) for device in devices]
    conn.execute(
        """insert into ingest.credential (device_id, username, secret)
           select * from unnest(%s::int[], %s::text[], %s::bytea[])""",
        (
            [each.device_id for each in given],
            [each.uid for each in given],
            [_digest(each.token) for each in given],
        ),
    )
    return given


def _stop_tokens(conn: Conn, device_id: int, keep: timedelta) -> None:
    conn.execute(
        """update ingest.credential set revoked_at = least(coalesce(revoked_at, 'infinity'), kit.now() + %s)
           where device_id = %s""",
        (keep, device_id),
    )


def _locked(conn: Conn, uid: str) -> dict[str, Any]:
    try:
        found = one(conn, "select id, model, status from ingest.device where uid = %s for update", (uid,))
    except psycopg.DataError:
        found = None
    if found is None:
        raise NotFound(f"There is no device {uid!r}.")
    return found
