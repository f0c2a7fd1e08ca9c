"""The collector at a broker that has a certificate of its plant's own authority, and asks the collector for one."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from ingest import collector as collecting
from ingest import tls
from ingest.mqtt.packets import V5
from kit.database import Conn
from kit.errors import Misconfigured
from kit.settings import Collector, Settings
from tests.ingest.doors.broker import Broker, count, subscribed
from tests.ingest.doors.helpers import Raw, reading, until


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority (ca) and what it has signed: broker and collector, each `.pem` and `.key`."""
    folder = tmp_path_factory.mktemp("papers")
    authority = folder / "ca.pem", folder / "ca.key"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=Plant",
            "-out", authority[0], "-keyout", authority[1])  # fmt: skip
    for name in ("broker", "collector"):
        key, asked, extensions = (folder / f"{name}.{end}" for end in ("key", "csr", "ext"))
        extensions.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", asked)
        openssl("x509", "-req", "-in", asked, "-CA", authority[0], "-CAkey", authority[1], "-CAcreateserial",
                "-days", 2, "-extfile", extensions, "-out", folder / f"{name}.pem")  # fmt: skip
    return folder


@pytest.fixture
def broker(tmp_path: Path, papers: Path) -> Iterator[Broker]:
    """Asks for a certificate, and takes its name as the login."""
    running = Broker(
        tmp_path,
        f"user root\ncafile {papers / 'ca.pem'}\ncertfile {papers / 'broker.pem'}\nkeyfile {papers / 'broker.key'}\n"
        "require_certificate true\nuse_identity_as_username true\n",
    )
    yield running
    running.stop()


def own(papers: Path) -> dict[str, Any]:
    return {"tls_certificate": papers / "collector.pem", "tls_key": papers / "collector.key"}


@pytest.fixture
def collect(dsn: str, broker: Broker, devices: dict[str, str]) -> Iterator[Callable[..., None]]:
    """`collect(tls_ca=…)` runs a collector with TLS until the test ends."""
    stop, running = Event(), list[Thread]()

    def begin(**given: Any) -> None:
        there = Collector(host="127.0.0.1", port=broker.port, tls=True, **given)
        settings = Settings(database_url=dsn, collector=there)
        running.append(Thread(target=collecting.run, args=(settings, stop)))
        running[-1].start()

    yield begin
    stop.set()
    for thread in running:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.broker
def test_a_broker_of_the_plants_own_authority_that_wants_a_certificate_is_collected_from(
    collect: Callable[..., None], broker: Broker, papers: Path, db: Conn
) -> None:
    collect(tls_ca=papers / "ca.pem", **own(papers))
    until(lambda: subscribed(db))
    context = ssl.create_default_context(cafile=papers / "ca.pem")
    context.load_cert_chain(papers / "collector.pem", papers / "collector.key")
    with Raw(broker.port, version=V5, context=context) as device:
        device.connect("p-1", None)
        for number in range(1, 301):
            device.publish("meantime/p-1/telemetry", reading(number), number)
        until(lambda: count(db) == 300)


@pytest.mark.broker
@pytest.mark.parametrize(
    ("with_authority", "with_certificate", "why"),
    [(False, True, "certificate verify failed"), (True, False, "certificate required")],
)
def test_a_handshake_that_fails_is_told_with_its_reason(
    collect: Callable[..., None],
    papers: Path,
    db: Conn,
    capfd: pytest.CaptureFixture[str],
    with_authority: bool,
    with_certificate: bool,
    why: str,
) -> None:
    given = {"tls_ca": papers / "ca.pem"} if with_authority else {}
    collect(**given, **(own(papers) if with_certificate else {}))
    told: list[str] = []

    def heard() -> bool:
        told.extend(capfd.readouterr())
        return why in "".join(told).replace("_", " ").lower()

    until(heard, f"a log line that says {why}")
    assert not subscribed(db)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"tls_ca": "ca.pem"}, "TLS_CA is set, but MEANTIME_COLLECTOR__TLS is not true"),
        ({"tls": True, "tls_ca": "nowhere.pem"}, "TLS_CA cannot be read: .*No such file.*nowhere.pem"),
        ({"tls": True, "tls_ca": "ca.key"}, "TLS_CA: .*ca.key holds no certificate"),
        ({"tls": True, "tls_certificate": "collector.pem"}, "belong together"),
        ({"tls": True, "tls_key": "collector.key"}, "belong together"),
        ({"tls": True, "tls_certificate": "collector.pem", "tls_key": "broker.key"},
         "collector.pem and __TLS_KEY .*broker.key are no certificate with its key.*MISMATCH"),
        ({"tls": True, "tls_certificate": "collector.csr", "tls_key": "collector.key"}, "are no certificate"),
    ],
)  # fmt: skip
def test_files_that_are_missing_or_do_not_fit_are_named(
    papers: Path, given: dict[str, Any], why: str
) -> None:
    placed = {name: papers / value if isinstance(value, str) else value for name, value in given.items()}
    with pytest.raises(Misconfigured, match=why):
        tls.client(Collector(host="broker", **placed))


def test_a_key_with_a_password_is_refused_instead_of_asking_on_a_terminal(
    papers: Path, tmp_path: Path
) -> None:
    locked = tmp_path / "locked.key"
    openssl("rsa", "-aes256", "-passout", "pass:secret", "-in", papers / "collector.key", "-out", locked)
    with pytest.raises(Misconfigured, match=r"without a password"):
        tls.client(
            Collector(host="broker", tls=True, tls_certificate=papers / "collector.pem", tls_key=locked)
        )
