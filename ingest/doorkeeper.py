"""Who may come in: authentication off the loop, with a small cache that forgets at once when anything is revoked.

All methods run on the pulse's thread, except `ask`-callbacks, which the end point hands to its loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ingest import registry, sessions
from ingest.mqtt.packets import Will
from kit import logs
from kit.database import Conn, one, rows

log = logs.get(__name__)
CACHE_SECONDS, CACHE_SIZE = 30.0, 50_000
# A stranger who invents names must not fill the list: so many new ones a minute are noted, the rest only counted.
NOTED_A_MINUTE = 100

Credentials = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Knock:
    """A CONNECT that asks for admission; `number` is unique among the door's connections."""

    client_id: str
    username: str | None
    password: str | None
    number: int
    will: Will | None
    at: datetime

    @property
    def nameless(self) -> bool:
        return self.username is None and self.password is None

    @property
    def credentials(self) -> Credentials:
        return self.username or "", self.password


class Doorkeeper:
    """Admits or refuses, remembers sessions, and watches for revocations.

    Args:
        guests: let devices without credentials in by their client id (`registry.guest`).
    """

    def __init__(self, name: str, *, guests: bool = False) -> None:
        self.name, self._guests = name, guests
        self.door: int | None = None
        self.unknown = 0
        self._cache: dict[Credentials, tuple[float, registry.Device]] = {}
        self._fingerprint: tuple[object, ...] = ()
        self._noted = 0
        self._minute = 0.0

    def open(self, conn: Conn) -> int:
        """The door's id; registers it the first time."""
        if self.door is None:
            self.door = sessions.open_door(conn, self.name)
        return self.door

    def admit(self, conn: Conn, knocks: Sequence[Knock]) -> list[registry.Device | None]:
        """The devices that these credentials belong to, their sessions remembered; None for those of nobody."""
        devices = self.who(conn, knocks)
        begun = []
        for knock, device in zip(knocks, devices, strict=True):
            if device is None:
                self._note(conn, knock)
                continue
            will = (knock.will.topic, knock.will.payload, knock.will.retain) if knock.will else None
            begun.append(sessions.Begun(device.uid, knock.client_id, knock.number, will))
        if begun:
            sessions.begin(conn, self.open(conn), begun)
        return devices

    def who(self, conn: Conn, knocks: Sequence[Knock]) -> list[registry.Device | None]:
        """Authenticate, from the cache where possible, the others with one query."""
        found: dict[Knock, registry.Device | None] = {}
        guests = [knock for knock in knocks if self._guests and knock.nameless]
        if guests:
            found.update(zip(guests, registry.guests(conn, [g.client_id for g in guests]), strict=True))
        now = time.monotonic()
        unknown = []
        for knock in knocks:
            expires, device = self._cache.get(knock.credentials, (0.0, None))
            if knock not in found and expires > now:
                found[knock] = device
            elif knock not in found:
                unknown.append(knock)
        if unknown:
            asked = registry.authenticate_all(conn, [knock.credentials for knock in unknown])
            found.update(zip(unknown, asked, strict=True))
            self._remember(unknown, asked)
        return [found[knock] for knock in knocks]

    def _remember(self, knocks: Sequence[Knock], devices: Sequence[registry.Device | None]) -> None:
        if len(self._cache) + len(knocks) > CACHE_SIZE:
            self._cache.clear()
        until = time.monotonic() + CACHE_SECONDS
        for knock, device in zip(knocks, devices, strict=True):
            if device is not None:
                self._cache[knock.credentials] = (until, device)

    def suspects(self, conn: Conn) -> set[str]:
        """Devices whose credentials may have been revoked since the last call: empty when nothing has changed at
        all; otherwise every device that ever had one revoked, and the cache is empty."""
        row = one(
            conn,
            """select (select count(*) from ingest.credential where revoked_at <= kit.now()) as credentials,
                      (select count(*) from ingest.device where status = 'revoked') as devices""",
        )
        assert row is not None
        seen = tuple(row.values())
        changed, self._fingerprint = bool(self._fingerprint) and seen != self._fingerprint, seen
        if not changed:
            return set()
        self._cache.clear()
        found = rows(
            conn,
            """select d.uid from ingest.device d where d.status = 'revoked' or exists (
                   select from ingest.credential c where c.device_id = d.id and c.revoked_at <= kit.now())""",
        )
        return {row["uid"] for row in found}

    def _note(self, conn: Conn, knock: Knock) -> None:
        """Count a stranger and list it: by its user name when it also showed a password, else by its client id,
        because a user name alone is a token and must not be shown."""
        self.unknown += 1
        if time.monotonic() - self._minute > 60:
            self._minute, self._noted = time.monotonic(), 0
        self._noted += 1
        uid = knock.username if knock.username and knock.password else knock.client_id
        if uid and self._noted <= NOTED_A_MINUTE:
            sessions.note_unknown(conn, uid[:64], "endpoint", knock.at)
