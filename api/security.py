"""Signed tokens: who a request comes from, and that a form came from our own page. No database but for the secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from kit.database import Conn, scalar
from kit.errors import Unauthenticated
from kit.settings import Settings

COOKIE = "meantime_session"
CSRF_HEADER = "x-csrf-token"
CSRF_FIELD = "csrf"


def session_secret(conn: Conn, settings: Settings) -> bytes:
    """The key that signs sessions: the setting, or one made once and kept in kit.state."""
    if settings.api.secret is not None:
        return settings.api.secret.get_secret_value().encode()
    conn.execute(
        "insert into kit.state (name, value) values ('api_secret', %s) on conflict do nothing",
        (Jsonb(secrets.token_hex(32)),),
    )
    return bytes.fromhex(str(scalar(conn, "select value #>> '{}' from kit.state where name = 'api_secret'")))


@dataclass(frozen=True)
class Claims:
    """What a token says: the account, a mark of its password (a changed password ends all sessions), the end."""

    user_id: int
    mark: str
    expires: float


def password_mark(password_hash: str) -> str:
    """A short mark of the stored hash that tells nothing about the password."""
    return hashlib.sha256(password_hash.encode()).hexdigest()[:16]


class Signer:
    """Makes and reads tokens with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def _mac(self, purpose: str, text: str) -> str:
        digest = hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    def token(self, user_id: int, mark: str, hours: float) -> str:
        """A session of `hours` from now (wall clock)."""
        claims = json.dumps([user_id, mark, time.time() + hours * 3600]).encode()
        text = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()
        return f"{text}.{self._mac('session', text)}"

    def read(self, token: str) -> Claims:
        """The claims of a token of ours.

        Raises:
            Unauthenticated: it is not ours, was changed, or has expired.
        """
        text, _, mac = token.partition(".")
        if not hmac.compare_digest(mac.encode(), self._mac("session", text).encode()):
            raise Unauthenticated("The session is not valid; log in again.")
        user_id, mark, expires = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if expires < time.time():
            raise Unauthenticated("The session has expired; log in again.")
        return Claims(user_id, mark, expires)

    def csrf(self, token: str) -> str:
        """What a form of this session must carry."""
        return self._mac("csrf", token)

    def csrf_matches(self, token: str, given: str | None) -> bool:
        """Whether a form came from a page of this session."""
        return given is not None and hmac.compare_digest(self.csrf(token).encode(), given.encode())
