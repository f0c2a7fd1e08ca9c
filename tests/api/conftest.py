"""A real server (uvicorn in a thread) on a database with the scene; one of each a test module."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import psycopg
import pytest
from psycopg import sql

from api.app import ROLE, create_app
from api.server import listen, serve
from kit import database
from kit.database import connect
from kit.settings import Api, Settings
from meantime import postgres
from tests.api import scene as scenes
from tests.api.scene import Scene


@dataclass
class Installation:
    """A running API and what it serves."""

    url: str
    dsn: str
    scene: Scene
    settings: Settings
    _clients: list[httpx.Client] = field(default_factory=list)

    def client(self, token: str | None = None) -> httpx.Client:
        """A program's connection, with a bearer token or without."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._clients.append(httpx.Client(base_url=self.url, headers=headers, timeout=20))
        return self._clients[-1]

    def token(self, login: str) -> str:
        """A fresh session's token."""
        answer = self.client().post("/api/login", json={"login": login, "password": scenes.PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def logged_in(self, login: str) -> httpx.Client:
        """A program's connection as that account."""
        return self.client(self.token(login))

    def browser(self, login: str) -> httpx.Client:
        """A browser's: a cookie instead of the token, and the page's form token in a header when asked for."""
        browser = self.client()
        browser.headers["Accept"] = "text/html"
        answer = browser.post("/login", data={"login": login, "password": scenes.PASSWORD})
        assert answer.status_code == 303, answer.text
        return browser

    def close(self) -> None:
        """Close the connections that were opened."""
        for client in self._clients:
            client.close()


@pytest.fixture(scope="session")
def scene_database(server: postgres.Server, template: str) -> tuple[str, Scene]:
    """A database with the scene, to be cloned."""
    name = f"scene_{uuid.uuid4().hex[:8]}"
    _clone(server, template, name)
    with connect(server.dsn(name), application="scene", autocommit=True) as conn:
        return name, scenes.build(conn)


@pytest.fixture(scope="module")
def installation(server: postgres.Server, scene_database: tuple[str, Scene]) -> Iterator[Installation]:
    """The API on a clone of the scene; the module's tests share it."""
    source, scene = scene_database
    name = f"api_{uuid.uuid4().hex[:8]}"
    _clone(server, source, name)
    dsn = server.dsn(name)
    yield from _serving(dsn, Settings(database_url=dsn, api=Api(port=0)), scene)
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def _clone(server: postgres.Server, source: str, name: str) -> None:
    """Copying files is several times as quick as writing them through the log, with the files in memory."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(source)
            )
        )


def _serving(dsn: str, settings: Settings, scene: Scene) -> Iterator[Installation]:
    stop, sock = threading.Event(), listen(settings)
    with database.pool(dsn, role=ROLE, application="api", size=6) as pool:
        thread = threading.Thread(target=serve, args=(create_app(pool, settings), sock, stop))
        thread.start()
        running = Installation(f"http://127.0.0.1:{sock.getsockname()[1]}", dsn, scene, settings)
        yield running
        running.close()
        stop.set()
        thread.join(10)
        assert not thread.is_alive(), "the server did not stop"
