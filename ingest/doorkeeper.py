"""Who may come in: authentication off the loop, with a small cache that forgets at once when anything is revoked.

All methods run on the pulse's thread, except `ask`-callbacks, which the end point hands to its loop.
"""

from __future__ import annotations

import time
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

    def admit(self, conn: Conn, knock: Knock) -> registry.Device | None:
        """The device that these credentials belong to, its session remembered; None when they belong to none."""
        device = self.who(conn, knock)
        if device is None:
            self._note(conn, knock)
            return None
        will = (knock.will.topic, knock.will.payload, knock.will.retain) if knock.will else None
        sessions.begin(conn, device.uid, knock.client_id, self.open(conn), knock.number, will)
        return device

    def who(self, conn: Conn, knock: Knock) -> registry.Device | None:
        """Authenticate, from the cache where possible."""
        if self._guests and knock.username is None and knock.password is None:
            return registry.guest(conn, knock.client_id)
        credentials = knock.credentials
        known = self._cache.get(credentials)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        device = registry.authenticate(conn, *credentials)
        if device is not None:
            if len(self._cache) >= CACHE_SIZE:
                self._cache.clear()
            self._cache[credentials] = (time.monotonic() + CACHE_SECONDS, device)
        return device

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
