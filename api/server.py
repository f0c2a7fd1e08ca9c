"""The API process: uvicorn around the application, until `stop` is set."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from analytics.prediction import warm
from api.app import ROLE, create_app
from kit import database, logs
from kit.errors import Misconfigured
from kit.settings import Settings

log = logs.get(__name__)
BACKLOG = 2048  # connections that wait to be accepted
THREADS = 12  # database connections; requests beyond that wait for one


class Server(uvicorn.Server):
    """uvicorn, stopped by an event instead of by signals (they are the process's business)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def listen(settings: Settings) -> socket.socket:
    """The bound socket, on which connections wait from now on; port 0 takes a free one.

    Raises:
        Misconfigured: the address is taken or not this machine's.
    """
    host, port = settings.api.host, settings.api.port
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise Misconfigured(
            f"{host}:{port} cannot be bound ({error.strerror}); set MEANTIME_API__PORT."
        ) from error
    return sock


def serve(app: FastAPI, sock: socket.socket, stop: threading.Event) -> None:
    """Serve on a bound socket until `stop` is set; open streams are ended, requests get a second to finish."""
    config = uvicorn.Config(
        app,
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=20,
        server_header=False,
    )
    server = Server(config)
    ended = threading.Event()
    threading.Thread(target=_end, args=(server, app, stop, ended), name="api.stop", daemon=True).start()
    try:
        server.run(sockets=[sock])
    finally:
        ended.set()


def _end(server: Server, app: FastAPI, stop: threading.Event, ended: threading.Event) -> None:
    while not stop.wait(0.1):
        if ended.is_set():
            return
    server.should_exit = True
    if (close := getattr(app.state, "close_streams", None)) is not None:
        close()


def run(settings: Settings, stop: threading.Event) -> None:
    """Be the API until `stop` is set."""
    sock = listen(settings)
    with database.pool(database.url(settings), role=ROLE, application="api", size=THREADS) as pool:
        log.info("listening", url=f"http://{settings.api.host}:{sock.getsockname()[1]}")
        warm.up(stop)
        serve(create_app(pool, settings), sock, stop)
    log.info("stopped")
