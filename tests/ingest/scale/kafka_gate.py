"""A gate before a broker of the mock cluster that asks for a login, as a Kafka does, and speaks TLS if it is told to.

It answers the three requests of Kafka's protocol that a login needs (ApiVersions, SaslHandshake, SaslAuthenticate) and
hands everything else on. SCRAM is that of RFC 5802, PLAIN that of RFC 4616.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import ssl
import struct
import threading
from functools import partial

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
UNSUPPORTED_VERSION, NOT_THIS_MECHANISM, REFUSED = 35, 33, 58
HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


class Login:
    """One client's login: what it says, step by step."""

    def __init__(self, user: str, password: str) -> None:
        self._user, self._password = user.encode(), password.encode()
        self.mechanism, self._first, self._told = "", b"", b""
        self.done = False

    def handshake(self, body: bytes) -> bytes:
        """The mechanism is agreed."""
        self.mechanism = body[2:].decode()
        known = self.mechanism in {*HASHES, "PLAIN"}
        return struct.pack(">hi", 0 if known else NOT_THIS_MECHANISM, 0)

    def authenticate(self, body: bytes) -> bytes:
        """One message of the mechanism, and its answer."""
        said = body[4:]
        if self.mechanism == "PLAIN":
            self.done, answer = said == b"\0".join((b"", self._user, self._password)), b""
        elif not self._told:
            answer = self._challenge(said)
        else:
            self.done, answer = self._proven(HASHES[self.mechanism], said)
        refused = not self.done and not answer
        text = b"the login is wrong" if refused else b""
        head = struct.pack(">hh", REFUSED if refused else 0, len(text)) + text
        return head + struct.pack(">i", len(answer)) + answer

    def _challenge(self, said: bytes) -> bytes:
        self._first = said.split(b",,", 1)[1]
        nonce = self._first.split(b",r=", 1)[1] + base64.b64encode(os.urandom(12))
        self._told = b"r=" + nonce + b",s=" + base64.b64encode(os.urandom(12)) + b",i=4096"
        return self._told

    def _proven(self, name: str, said: bytes) -> tuple[bool, bytes]:
        fields = dict(part.split(b"=", 1) for part in self._told.split(b","))
        salted = hashlib.pbkdf2_hmac(name, self._password, base64.b64decode(fields[b"s"]), 4096)
        without, proof = said.rsplit(b",p=", 1)
        words = b",".join((self._first, self._told, without))
        stored = hashlib.new(name, hmac.digest(salted, b"Client Key", name)).digest()
        signature = hmac.digest(stored, words, name)
        key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        right = self._first.startswith(b"n=" + self._user + b",")
        if not right or hashlib.new(name, key).digest() != stored:
            return False, b""
        server = hmac.digest(hmac.digest(salted, b"Server Key", name), words, name)
        return True, b"v=" + base64.b64encode(server)


class Gate:
    """Listens on `port`, hands on to the port `upstream`; knows one user."""

    def __init__(
        self, upstream: int, user: str, password: str, context: ssl.SSLContext | None = None
    ) -> None:
        self._upstream, self._login = upstream, partial(Login, user, password)
        self._loop, ready = asyncio.new_event_loop(), threading.Event()

        def serve() -> None:
            start = asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
            self._server = self._loop.run_until_complete(start)
            ready.set()
            self._loop.run_forever()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        assert ready.wait(10)
        self.port: int = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        async def end() -> None:
            self._server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, into = await asyncio.open_connection("127.0.0.1", self._upstream)
        login = self._login()
        try:
            while not login.done:
                frame = await _frame(reader)
                key, version, number = struct.unpack(">hhi", frame[:8])
                body = frame[10 + max(0, struct.unpack(">h", frame[8:10])[0]) :]
                if key == API_VERSIONS:
                    answer = _only_the_first(version) or _with_login(await _asked(behind, into, frame))
                elif key in (HANDSHAKE, AUTHENTICATE):
                    answer = login.handshake(body) if key == HANDSHAKE else login.authenticate(body)
                else:
                    return  # not without a login
                writer.write(struct.pack(">ii", len(answer) + 4, number) + answer)
            await asyncio.gather(_pump(reader, into), _pump(behind, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one of the two has hung up, or the test is over
        finally:
            into.close()
            writer.close()


def _only_the_first(version: int) -> bytes | None:
    """Clients begin with a newer form of ApiVersions; they are told to ask in the first."""
    return struct.pack(">hihhh", UNSUPPORTED_VERSION, 1, API_VERSIONS, 0, 0) if version else None


def _with_login(answer: bytes) -> bytes:
    """The broker's list of requests, and those of a login."""
    error, count = struct.unpack(">hi", answer[:6])
    more = struct.pack(">hhhhhh", HANDSHAKE, 1, 1, AUTHENTICATE, 0, 0)
    return struct.pack(">hi", error, count + 2) + answer[6:] + more


async def _asked(behind: asyncio.StreamReader, into: asyncio.StreamWriter, frame: bytes) -> bytes:
    into.write(struct.pack(">i", len(frame)) + frame)
    return (await _frame(behind))[4:]


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
