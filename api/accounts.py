"""Accounts: passwords, log-in with a limit on failures, and who the holder of a token is."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from functools import cache

from psycopg.rows import class_row
from pwdlib import PasswordHash

from api.security import Claims, password_mark
from fsm_core.actors import Actor
from kit.database import Conn, columns, rows, scalar
from kit.errors import Forbidden, Invalid, TooManyRequests, Unauthenticated

FAILURES, WINDOW = 10, 300.0
"""So many failed attempts of one login from one address within so many seconds, then it is refused."""


@dataclass(frozen=True)
class User:
    """A row of fsm.user_account without its password."""

    id: int
    login: str
    name: str
    role: str
    language: str
    technician_id: int | None
    provider_id: int | None
    customer_id: int | None
    is_demo: bool

    @property
    def actor(self) -> Actor:
        """As the domain knows them."""
        return Actor.user(
            self.id,
            self.role,
            technician_id=self.technician_id,
            provider_id=self.provider_id,
            customer_id=self.customer_id,
        )


@cache
def hasher() -> PasswordHash:
    """Argon2 with the library's recommended cost."""
    return PasswordHash.recommended()


@cache
def _nobody() -> str:
    """A hash to check against when there is no such login, so that both answers take equally long."""
    return hasher().hash("nobody")


class Attempts:
    """Failed log-ins of the last minutes, per login and address. Thread-safe; of this process only."""

    def __init__(self) -> None:
        self._failed: dict[tuple[str, str], deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def check(self, login: str, address: str) -> None:
        """Raise TooManyRequests when the limit is reached."""
        with self._lock:
            failed = self._failed.get((login, address))
            if failed is None:
                return
            while failed and failed[0] < time.monotonic() - WINDOW:
                failed.popleft()
            if not failed:
                del self._failed[login, address]
            elif len(failed) >= FAILURES:
                raise TooManyRequests(f"{FAILURES} failed attempts; wait {int(WINDOW // 60)} minutes.")

    def failed(self, login: str, address: str) -> None:
        """Note a failure."""
        with self._lock:
            if len(self._failed) > 10_000:  # somebody tries names: forget the oldest
                self._failed.pop(next(iter(self._failed)))
            self._failed[login, address].append(time.monotonic())

    def succeeded(self, login: str, address: str) -> None:
        """Forget the failures."""
        with self._lock:
            self._failed.pop((login, address), None)


def log_in(
    conn: Conn, attempts: Attempts, login: str, password: str, address: str, *, production: bool
) -> tuple[User, str]:
    """The user and the mark of their password.

    Raises:
        Unauthenticated: wrong login or password, or the account is off.
        Forbidden: a demo account in production.
        TooManyRequests: too many failures lately.
    """
    attempts.check(login, address)
    found = conn.execute(
        "select password_hash from fsm.user_account where login = %s and active", (login,)
    ).fetchone()
    valid = hasher().verify(password, found[0] if found else _nobody())
    if not valid or found is None:
        attempts.failed(login, address)
        raise Unauthenticated("Login or password is wrong.")
    user = _user(conn, "login", login)
    assert user is not None
    if production and user.is_demo:
        raise Forbidden("Demo accounts are refused in production; create your own with `meantime user add`.")
    attempts.succeeded(login, address)
    return user, password_mark(found[0])


def holder(conn: Conn, claims: Claims, *, production: bool) -> User:
    """Whose token it is.

    Raises:
        Unauthenticated: the account is off, its password was changed, or it is a demo account in production.
    """
    stored = scalar(
        conn, "select password_hash from fsm.user_account where id = %s and active", (claims.user_id,)
    )
    user = _user(conn, "id", claims.user_id) if stored is not None else None
    if user is None or password_mark(stored) != claims.mark or (production and user.is_demo):
        raise Unauthenticated("The session is not valid any more; log in again.")
    return user


def _user(conn: Conn, key: str, value: str | int) -> User | None:
    condition = "login = %s" if key == "login" else "id = %s"
    return (
        conn.cursor(row_factory=class_row(User))
        .execute(f"select {columns(User)} from fsm.user_account where {condition} and active", (value,))
        .fetchone()
    )


def set_language(conn: Conn, user_id: int, language: str) -> None:
    """Which language this user reads."""
    if language not in ("en", "zh"):
        raise Invalid(f"{language!r} is not a language of the interface; it is en or zh")
    conn.execute("update fsm.user_account set language = %s where id = %s", (language, user_id))


def demo_logins(conn: Conn) -> list[dict[str, str]]:
    """The demo's accounts for the login page: every office login and the first two engineers; empty without a demo."""
    return rows(
        conn,
        """select login, name, role from (
               select login, name, role, id, row_number() over (partition by role order by id) as nth
               from fsm.user_account where is_demo and active) listed
           where role not in ('engineer', 'customer', 'provider') or nth <= 2 order by id""",
    )
