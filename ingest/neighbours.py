"""What comes to an end point from elsewhere: devices of a dead one, clients that move to another one, revocations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest import registry, sessions
from ingest.mqtt.packets import Reason, Will
from kit import logs
from kit.database import Conn

if TYPE_CHECKING:
    from ingest.endpoint import Endpoint

log = logs.get(__name__)
TAKEN_ELSEWHERE = "taken_elsewhere"
REVOKED = "revoked"
OUTDATED = "token_outdated"


class Neighbours:
    """What an end point does about the others. Methods that take a connection run on the pulse, the others on the loop.

    Args:
        grace: seconds after which a silent door is dead.
    """

    def __init__(self, server: Endpoint, grace: float) -> None:
        self._server, self._grace = server, grace
        server.pulse.ticks += [self._adopt, self._look_for_revoked]
        server.pulse.channels[sessions.TAKEN_OVER] = self._taken_over
        server.pulse.opened.append(self._missed)

    def _adopt(self, conn: Conn) -> None:
        orphans = sessions.adopt(conn, self._server.keeper.open(conn), self._grace)
        if orphans:
            self._server.soon(self._bury, orphans)

    def _bury(self, orphans: list[sessions.Orphan]) -> None:
        server = self._server
        assert server.keeper.door is not None
        log.info("devices of a dead end point did not come back", devices=len(orphans))
        for orphan in orphans:
            will = None
            if orphan.will_topic is not None:
                will = Will(orphan.will_topic, orphan.will_payload or b"", 1, orphan.will_retain)
            ended = sessions.Ended(orphan.uid, orphan.client_id, server.keeper.door, sessions.ORPHAN_NUMBER)
            last = orphan.uid not in server.of_device and not orphan.elsewhere
            server.presence.gone(
                ended, "endpoint_lost", server.pulse.at(orphan.silent_since), will=will, last=last
            )

    def _taken_over(self, told: str) -> None:
        """A client of some door has connected to another one."""
        door, number = told.split()
        if int(door) == self._server.keeper.door:
            self._server.soon(self._close, [int(number)])

    def _missed(self, conn: Conn) -> None:
        """While nobody listened clients may have been taken over: compare with what is written."""
        here = list(self._server.numbered)
        if here and self._server.keeper.door is not None:
            kept = sessions.numbers(conn, self._server.keeper.door)
            self._server.soon(self._close, [number for number in here if number not in kept])

    def _close(self, numbers: list[int]) -> None:
        for number in numbers:
            if (connection := self._server.numbered.get(number)) is not None:
                connection.close(Reason.TAKEN_OVER, TAKEN_ELSEWHERE)

    def _look_for_revoked(self, conn: Conn) -> None:
        """After a revocation ask again for those connected that it may concern; who is no longer known is put out."""
        suspects = self._server.keeper.suspects(conn)
        here = list(self._server.clients.items()) if suspects else []
        asked = [each for (uid, _), each in here if uid in suspects and each.knock is not None]
        knocks = [each.knock for each in asked if each.knock is not None]
        out = [
            connection
            for connection, device in zip(asked, self._server.keeper.who(conn, knocks), strict=True)
            if device is None
        ]
        if out:
            revoked = registry.revoked(conn, [each.device.uid for each in out if each.device is not None])
            for connection in out:
                # Who was revoked is offline already and has no say; whose token was replaced goes as any other.
                gone = connection.device is not None and connection.device.uid in revoked
                self._server.soon(connection.close, Reason.NOT_AUTHORIZED, REVOKED if gone else OUTDATED)
