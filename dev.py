#!/usr/bin/env python3
"""Set up and run Meantime with nothing but Python 3.11 or newer.

    python3 dev.py demo            set up, then start the demo (FRESH=1 or --fresh starts over)
    python3 dev.py test            set up, then run the tests
    python3 dev.py lint            ruff, mypy and the import contracts
    python3 dev.py browser         the tests in Chromium only
    python3 dev.py lock            renew the lock files
    python3 dev.py doctor          say what is missing on this machine
    python3 dev.py clean           remove the environment and the demo's data

Everything after the command is passed on. Your own index settings (pip's or uv's) are used as they are.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
RUNTIME, EVERYTHING = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"
STAMP = VENV / "meantime-stamp"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> None:
    say(f"meantime: {text}")
    raise SystemExit(1)


def check_python() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what finds an older Python out
        fail(
            f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}. Start dev.py with a newer one."
        )
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        fail(
            f"Python's 'venv' module is incomplete. On Debian or Ubuntu: sudo apt-get install python{version}-venv"
        )


def stamp_of(lock: Path) -> str:
    parts = [sys.version, str(ROOT), lock.read_text(), (ROOT / "pyproject.toml").read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def setup(lock: Path) -> None:
    """Make .venv hold what the lock says; quick when it already does."""
    check_python()
    known = STAMP.read_text().split() if STAMP.exists() else []
    if stamp_of(lock) in known and PYTHON.exists():
        return
    if not PYTHON.exists():
        say("Making .venv …")
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    say(f"Installing the locked dependencies ({lock.name}); this happens once …")
    installer = uv_command() or [str(PYTHON), "-m", "pip", "install", "-q", "--retries", "5"]
    if not install(installer, lock):
        fallback = [str(PYTHON), "-m", "pip", "install", "-q", "--retries", "5"]
        if installer == fallback or not install(fallback, lock):
            fail("The dependencies could not be installed; the lines above say why.")
    covered = [stamp_of(lock)] + ([stamp_of(RUNTIME)] if lock == EVERYTHING else [])
    STAMP.write_text("\n".join(covered))


def install(installer: list[str], lock: Path) -> bool:
    env = os.environ | uv_environment() if "uv" in installer else dict(os.environ)
    for arguments in (
        ["--require-hashes", "-r", str(lock)],
        ["--no-deps", "--no-build-isolation", "-e", str(ROOT)],
    ):
        done = subprocess.run([*installer, *arguments], env=env, stderr=subprocess.PIPE, text=True, cwd=ROOT)
        if done.returncode:
            say(done.stderr.strip()[-2000:])
            explain(done.stderr)
            return False
    return True


def explain(output: str) -> None:
    if any(sign in output for sign in ("gcc", "cc1", "Microsoft Visual C++", "compiler")):
        say(
            "A package had to be compiled, because there is no ready wheel for this Python, and no compiler was found. "
            "Use CPython 3.11 to 3.13, or install one (Debian: sudo apt-get install build-essential python3-dev)."
        )


def uv_command() -> list[str] | None:
    """uv inside the venv (about five times as fast as pip), or None where it cannot be had."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    have = subprocess.run([str(PYTHON), "-m", "uv", "--version"], **quiet).returncode == 0
    if not have:
        have = subprocess.run([str(PYTHON), "-m", "pip", "install", "-q", "uv"], **quiet).returncode == 0
    command = [str(PYTHON), "-m", "uv", "pip", "install", "-q", "--compile-bytecode", "--python", str(PYTHON)]
    return command if have else None


def uv_environment() -> dict[str, str]:
    """pip's index settings, said in uv's words; uv's own settings win."""
    names = {
        "index-url": "UV_DEFAULT_INDEX",
        "extra-index-url": "UV_INDEX",
        "find-links": "UV_FIND_LINKS",
        "trusted-host": "UV_INSECURE_HOST",
        "cert": "SSL_CERT_FILE",
    }
    listed = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True
    ).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        name = names.get(key.split(".", 1)[-1].strip("."))
        if (
            name
            and name not in os.environ
            and not (name == "UV_DEFAULT_INDEX" and "UV_INDEX_URL" in os.environ)
        ):
            found[name] = value.strip("'\"")
    if "UV_INDEX" in found:  # pip looks through all indexes for the best version; make uv do so too
        found.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return found


def run(*command: str) -> None:
    """Become the command, so that signals and the exit code are its own."""
    arguments = [str(PYTHON), *command]
    os.chdir(ROOT)
    if os.name == "nt":
        raise SystemExit(subprocess.run(arguments).returncode)
    os.execv(arguments[0], arguments)


def demo(rest: list[str]) -> None:
    setup(RUNTIME)
    fresh = ["--fresh"] if os.environ.get("FRESH", "") not in ("", "0") and "--fresh" not in rest else []
    run("-m", "meantime", "demo", *fresh, *rest)


def test(rest: list[str]) -> None:
    setup(EVERYTHING)
    # In the order of collection, which tests/conftest.py decides.
    run("-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *rest)


def browser(rest: list[str]) -> None:
    setup(EVERYTHING)
    run("-m", "pytest", "-m", "browser", *rest)


def lint(rest: list[str]) -> None:
    setup(EVERYTHING)
    packages = ["kit", "ingest", "analytics", "fsm_core", "api", "dashboards", "simulators", "meantime"]
    for command in (
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "mypy", *(word for name in packages for word in ("-p", name))],
    ):
        if code := subprocess.run([str(PYTHON), *command], cwd=ROOT).returncode:
            raise SystemExit(code)
    raise SystemExit(subprocess.run([str(BIN / "lint-imports")], cwd=ROOT).returncode)


def lock(rest: list[str]) -> None:
    setup(EVERYTHING) if EVERYTHING.exists() else check_python()
    base = [str(PYTHON), "-m", "uv", "pip", "compile", "-q", "--universal", "--generate-hashes", "--no-header",
            "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--python-version", "3.11",
            "pyproject.toml", *rest]  # fmt: skip
    subprocess.run(
        [
            *base,
            "--extra",
            "dev",
            "--extra",
            "jetstream",
            "--extra",
            "kafka",
            "--extra",
            "build",
            "-o",
            EVERYTHING.name,
        ],
        check=True,
        cwd=ROOT,
    )
    subprocess.run(
        [*base, "--extra", "build", "-c", EVERYTHING.name, "-o", RUNTIME.name], check=True, cwd=ROOT
    )


def doctor(rest: list[str]) -> None:
    check_python()
    if not PYTHON.exists():
        say("The environment is not made yet: python3 dev.py demo or python3 dev.py test makes it.")
        raise SystemExit(1)
    run("-m", "meantime", "doctor", *rest)


def clean(rest: list[str]) -> None:
    if PYTHON.exists():
        subprocess.run([str(PYTHON), "-m", "meantime", "forget", "--yes"], cwd=ROOT)
    shutil.rmtree(VENV, ignore_errors=True)


COMMANDS = {"demo": demo, "test": test, "browser": browser, "lint": lint, "lock": lock, "doctor": doctor,
            "clean": clean, "setup": lambda rest: setup(EVERYTHING)}  # fmt: skip

if __name__ == "__main__":
    name = sys.argv[1] if len(sys.argv) > 1 else "help"
    if name not in COMMANDS:
        print(__doc__)
        raise SystemExit(0 if name in ("help", "-h", "--help") else 2)
    COMMANDS[name](sys.argv[2:])
