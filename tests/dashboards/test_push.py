"""Publishing to a Grafana: a small real HTTP server that speaks the end points in question."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dashboards.build import BOARDS
from dashboards.push import push
from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings


class Grafana(ThreadingHTTPServer):
    """Keeps folders and dashboards as Grafana does; `token` is the one it lets in."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.token, self.folders, self.boards, self.posts = "secret", set[str](), dict[str, Any](), 0

    @property
    def settings(self) -> Settings:
        return Settings.model_validate(
            {"grafana": {"url": f"http://127.0.0.1:{self.server_port}/grafana", "token": "secret"}}
        )


class Handler(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        uid = self.path.rsplit("/", 1)[-1]
        known = self.path.startswith("/grafana/api/folders/") and uid in self.server.folders
        self.reply(200, {"uid": uid}) if known else self.reply(404, {"message": "folder not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts += 1
        if self.path == "/grafana/api/folders":
            self.server.folders.add(body["uid"])
            self.reply(200, {"uid": body["uid"], "title": body["title"]})
        elif body["dashboard"]["uid"] in self.server.boards and not body["overwrite"]:
            self.reply(412, {"message": "exists"})
        else:
            assert body["folderUid"] in self.server.folders
            self.server.boards[body["dashboard"]["uid"]] = body["dashboard"]
            self.reply(200, {"status": "success", "url": f"/d/{body['dashboard']['uid']}/x"})

    def reply(self, status: int, body: dict[str, Any]) -> None:
        if self.headers["Authorization"] != f"Bearer {self.server.token}":
            status, body = 401, {"message": "invalid API key"}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    server = Grafana()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(5)


def test_all_dashboards_are_published_into_one_folder(grafana: Grafana) -> None:
    addresses = push(grafana.settings)
    assert set(grafana.boards) == {board.uid for board in BOARDS}
    assert grafana.folders == {"meantime"}
    assert addresses == [f"{grafana.settings.grafana.url}/d/{board.uid}/x" for board in BOARDS]
    assert all(board["panels"] for board in grafana.boards.values())


def test_publishing_again_overwrites_and_makes_no_second_folder(grafana: Grafana) -> None:
    push(grafana.settings)
    push(grafana.settings)
    assert grafana.posts == 1 + 2 * len(BOARDS)


def test_a_refused_token_is_told_as_such(grafana: Grafana) -> None:
    grafana.token = "another"
    with pytest.raises(Misconfigured, match="refuses the token"):
        push(grafana.settings)


def test_without_a_grafana_the_settings_to_make_are_named() -> None:
    with pytest.raises(Misconfigured, match="MEANTIME_GRAFANA__URL"):
        push(Settings())
    with pytest.raises(Misconfigured, match="no address of a Grafana"):
        push(Settings.model_validate({"grafana": {"url": "localhost", "token": "x"}}))


def test_a_grafana_that_is_away_is_unavailable() -> None:
    away = Grafana()
    settings = away.settings
    away.server_close()
    with pytest.raises(Unavailable, match="does not answer"):
        push(settings)
