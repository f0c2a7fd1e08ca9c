"""Simulated engineers and managers: they log in and use the HTTP API like anybody else, by the simulated clock."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import psycopg

from kit import clock, database, logs, process
from kit.errors import Unavailable
from kit.settings import Settings
from simulators import staff_rules, truth
from simulators.staff_rules import Step, VisitView
from simulators.staff_work import Assignment, PartNeed, carry_out

log = logs.get(__name__)
PASSWORD = "demo"  # the demo's accounts only; production refuses them
POLL_SECONDS = 0.5
RETRY = timedelta(minutes=20)
LONG = 4.0  # seconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Client:
    """One person, logged in."""

    def __init__(self, base: str, login: str) -> None:
        self._http = httpx.Client(base_url=base, timeout=10)
        answer = self._http.post("/api/login", json={"login": login, "password": PASSWORD})
        answer.raise_for_status()
        self._http.headers["Authorization"] = f"Bearer {answer.json()['token']}"

    def get(self, path: str, **params: Any) -> Any:
        """The JSON of a GET."""
        answer = self._http.get(path, params=params)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """The JSON of a POST."""
        answer = self._http.post(path, json=body or {})
        if answer.is_error:
            raise Refused(f"{path}: {answer.status_code} {answer.text[:300]}")
        return answer.json()


class Refused(Exception):
    """The API did not let somebody do something; it is tried again later."""


@dataclass(frozen=True)
class Phone:
    """`Hands` of one engineer on one visit, through the API. The API stamps the time itself."""

    client: Client
    order_id: int
    visit_id: int

    def move(self, step: Step, position: tuple[float, float] | None) -> None:
        body: dict[str, Any] = {"reason": step.reason} if step.reason else {}
        if position is not None:
            body |= {"latitude": position[0], "longitude": position[1]}
        self.client.post(f"/api/visits/{self.visit_id}/{step.action}", body)

    def consume(self, part_id: int, quantity: Decimal, at: datetime) -> None:
        self.client.post(
            f"/api/visits/{self.visit_id}/consume", {"part_id": part_id, "quantity": str(quantity)}
        )

    def return_old(self, part_id: int, quantity: Decimal, at: datetime) -> None:
        self.client.post(
            f"/api/orders/{self.order_id}/return-old", {"part_id": part_id, "quantity": str(quantity)}
        )

    def tick(self, item: int, at: datetime) -> None:
        self.client.post(f"/api/orders/{self.order_id}/checklist/{item}", {"done": True})

    def file_codes(self, cause: str, remedy: str, note: str, at: datetime) -> None:
        body = {"cause": cause, "remedy": remedy, "note": note}
        self.client.post(f"/api/orders/{self.order_id}/codes", body)

    def sign(self, name: str, signature: str, at: datetime) -> None:
        self.client.post(f"/api/orders/{self.order_id}/report")
        self.client.post(
            f"/api/orders/{self.order_id}/signature", {"signed_by": name, "signature": signature}
        )


@dataclass
class Staff:
    """Everybody, and what they remember."""

    base: str
    dsn: str
    seed: int
    _clients: dict[str, Client] = field(default_factory=dict)
    _seen: dict[tuple[int, str], datetime] = field(default_factory=dict)
    _not_before: dict[str, datetime] = field(default_factory=dict)

    def client(self, login: str) -> Client:
        """The session of a person, opened at its first use."""
        if login not in self._clients:
            self._clients[login] = Client(self.base, login)
        return self._clients[login]

    def round(self, now: datetime) -> int:
        """Do what is due at `now`; returns how many steps were taken."""
        taken = 0
        for visit in self.client("manager").get("/api/visits", state=sorted(OPEN_VISITS))["items"]:
            step = staff_rules.next_step(self._view(visit, now), self.seed)
            if step is not None and step.at <= now:
                taken += self._try(
                    f"visit {visit['id']}", now, lambda v=visit, s=step: self._visit(v, s, now)
                )
        return taken + self._desk(now)

    def _view(self, visit: dict[str, Any], now: datetime) -> VisitView:
        seen = self._seen.setdefault((visit["id"], visit["state"]), now)
        entered = visit.get({"confirmed": "confirmed_at", "traveling": "traveling_at", "on_site": "on_site_at",
                             "working": "working_at"}.get(visit["state"], ""))  # fmt: skip
        return VisitView(
            visit["id"], visit["state"], _time(visit["travel_start"]), _time(visit["planned_start"]),
            float(visit["travel_minutes"]), float(visit["standard_hours"]), _time(entered) if entered else seen,
        )  # fmt: skip

    def _visit(self, visit: dict[str, Any], step: Step, now: datetime) -> None:
        client = self.client(f"engineer{visit['technician_id']}")
        detail = client.get(f"/api/orders/{visit['order_id']}")
        found_at = _time(visit["working_at"]) if visit["working_at"] else now  # what he saw when he opened it
        job = _assignment(detail, visit["id"], self._failing(detail["order"], found_at))
        carry_out(step, job, Phone(client, visit["order_id"], visit["id"]), self.seed)

    def _failing(self, order: dict[str, Any], now: datetime) -> bool:
        if order["device_id"] is None or order["failure_mode"] is None:
            return False
        with database.connect(self.dsn, application="staff", autocommit=True) as conn:
            return truth.is_failing(conn, order["device_id"], order["failure_mode"], now)

    def _desk(self, now: datetime) -> int:
        manager, taken = self.client("manager"), 0
        for order in manager.get("/api/orders", state=["new", "work_done", "settled"], limit=200)["items"]:
            match order["state"]:
                case "new":
                    action, due = "accept", now
                case "work_done":
                    action, due = (
                        "review",
                        staff_rules.review_at(self._seen.setdefault((order["id"], "work_done"), now)),
                    )
                case _:
                    action, due = (
                        "close",
                        staff_rules.close_at(self._seen.setdefault((order["id"], "settled"), now)),
                    )
            if due <= now:
                path = f"/api/orders/{order['id']}/{action}"
                taken += self._try(f"order {order['id']}", now, lambda p=path: manager.post(p))
        return taken

    def _try(self, what: str, now: datetime, act: Any) -> int:
        if now < self._not_before.get(what, _EPOCH):
            return 0
        try:
            act()
        except Refused as error:
            self._not_before[what] = now + RETRY
            log.info("refused, tries again later", what=what, error=str(error))
            return 0
        return 1


OPEN_VISITS = frozenset({"planned", "confirmed", "traveling", "on_site", "working", "paused"})


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _assignment(detail: dict[str, Any], visit_id: int, failing: bool) -> Assignment:
    parts = [
        PartNeed(part["part_id"], Decimal(str(part["expected"])), Decimal(str(part["consumed"])),
                 Decimal(str(part["old_returned"])), bool(part["returns_old"]))
        for part in detail["parts"]
    ]  # fmt: skip
    items = [item["position"] for item in detail["checklist"] if not item["done"]]
    site = (float(detail["site"]["latitude"]), float(detail["site"]["longitude"]))
    return Assignment(
        detail["order"]["id"], visit_id, detail["order"]["component"], site, parts, items, failing
    )


def run(settings: Settings, stop: threading.Event) -> None:
    """Work until `stop`; a lost API or database is tried again."""
    dsn = database.url(settings)
    staff = Staff(f"http://{settings.api.host}:{settings.api.port}", dsn, settings.simulation.seed)
    for pause in _pauses():
        if stop.wait(pause.seconds):
            return
        try:
            staff.round(_now(dsn))
            pause.rest()
        except (httpx.HTTPError, psycopg.Error, Unavailable) as error:
            if pause.seconds >= LONG:  # while everything starts this is as it should be
                log.warning("not reachable", error=repr(error))
            staff._clients.clear()
            pause.grow()


def _now(dsn: str) -> datetime:
    """Asked anew each time: somebody may let the clock run, stop it, or move it meanwhile."""
    with database.connect(dsn, application="staff", autocommit=True) as conn:
        process.beat(conn, "staff")
        return clock.now(conn)


@dataclass
class _Pause:
    seconds: float = POLL_SECONDS

    def rest(self) -> None:
        self.seconds = POLL_SECONDS

    def grow(self) -> None:
        self.seconds = min(self.seconds * 2, 5.0)


def _pauses() -> Iterable[_Pause]:
    pause = _Pause()
    while True:
        yield pause
