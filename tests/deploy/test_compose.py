"""The containers, as far as they can be judged without running them: names that exist, limits that are set."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy import healthy
from kit.database import Conn
from kit.process import beat
from kit.settings import Settings
from meantime.processes import CORE, FAMILY

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
APP = {name: service for name, service in SERVICES.items() if "build" in service}


def setting_names() -> set[str]:
    """MEANTIME_* variables that kit.settings understands."""
    names: set[str] = set()
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        names |= (
            {f"MEANTIME_{name}__{part}".upper() for part in inner} if inner else {f"MEANTIME_{name}".upper()}
        )
    return names


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting(service: str) -> None:
    named = {name for name in SERVICES[service].get("environment", {}) if name.startswith("MEANTIME_")}
    assert named <= setting_names()
    assert "MEANTIME_DATABASE_URL" in named or service not in APP


def test_every_variable_to_fill_in_is_in_the_example() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    wanted = set(re.findall(r"(?<!\$)\$\{(\w+)", text))
    example = {line.split("=")[0] for line in (ROOT / ".env.example").read_text().splitlines() if "=" in line}
    assert wanted == example
    assert not re.search(r"\$\{\w+:-", text), "a secret has no default"


@pytest.mark.parametrize("service", SERVICES)
def test_every_mounted_file_exists_and_every_volume_is_declared(service: str) -> None:
    for mount in SERVICES[service].get("volumes", []):
        source = mount.split(":")[0]
        if source.startswith("./"):
            assert (ROOT / source).exists(), source
            assert mount.endswith(":ro"), mount
        else:
            assert source in COMPOSE["volumes"], source


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_depends_on_something_defined_and_waits_for_its_health(service: str) -> None:
    for name, how in SERVICES[service].get("depends_on", {}).items():
        assert name in SERVICES
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[name]
        else:
            assert how["condition"] == "service_completed_successfully"
            assert SERVICES[name]["restart"] == "no"


@pytest.mark.parametrize("service", SERVICES)
def test_every_port_is_bound_to_loopback(service: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[service].get("ports", []))


@pytest.mark.parametrize("service", [name for name in SERVICES if name != "migrate"])
def test_every_lasting_service_has_a_health_check_and_restarts(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]
    assert SERVICES[service]["restart"] == "unless-stopped"


def test_every_process_of_the_family_has_its_container() -> None:
    runs = {service["command"][1] for service in APP.values() if service["command"][0] == "run"}
    assert runs == {*CORE, "collector"}
    assert runs <= set(FAMILY)
    for name, service in APP.items():
        if service["command"][0] == "run":
            assert service["healthcheck"]["test"][-1] == service["command"][1] == name


def test_images_are_pinned_to_a_version() -> None:
    images = [service["image"] for service in SERVICES.values()]
    assert all(re.search(r":\d+\.\d+|:local$", image) for image in images), images


def test_the_broker_has_limits_persistence_and_expiry() -> None:
    text = (ROOT / "deploy/mosquitto.conf").read_text(encoding="utf-8")
    conf = dict(line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
    assert conf["persistence"] == "true"
    assert int(conf["autosave_interval"]) <= 30
    assert int(conf["max_queued_messages"]) > 1000
    assert 0 < int(conf["max_queued_bytes"]) < int(conf["memory_limit"]) < 2 * 1024**3
    assert conf["persistent_client_expiration"]
    assert conf["allow_anonymous"] == "false"
    assert int(conf["max_packet_size"]) == Settings().endpoint.max_packet_bytes
    mounted = {mount.split(":")[1] for mount in SERVICES["broker"]["volumes"]}
    assert conf["acl_file"] in mounted
    assert f"meantime/{chr(37)}u/#" in (ROOT / "deploy/mosquitto.acl").read_text()
    assert Settings().ingest.topic_prefix == "meantime"


def test_grafana_is_optional_and_reads_what_is_mounted() -> None:
    grafana = SERVICES["grafana"]
    assert grafana["profiles"] == ["grafana"]
    mounts = dict(mount.removesuffix(":ro").split(":") for mount in grafana["volumes"])
    assert mounts["./dashboards/generated"] == grafana["environment"]["GRAFANA_DASHBOARDS"]
    used = set()
    for path in (ROOT / "dashboards/provisioning").rglob("*.yaml"):
        used |= set(re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")))
    assert used <= set(grafana["environment"])


def test_the_image_copies_what_exists_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [
        source
        for line in lines
        if line.startswith("COPY") and "--from" not in line
        for source in line.split()[1:-1]
    ]
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert set(packages["packages"]) <= set(copied)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, f"{source} is not sent to the builder"
    user = [line.split()[1] for line in lines if line.startswith("USER")]
    assert user
    assert user[-1] not in ("root", "0")
    assert any("--require-hashes" in line for line in lines)


def test_every_locked_requirement_has_a_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
    assert len(pinned) > 30
    assert [line.split()[0] for line in pinned if "--hash=sha256:" not in line] == []


def test_the_health_check_believes_fresh_beats_only(db: Conn, dsn: str) -> None:
    assert not healthy.healthy(dsn, "fsm")
    beat(db, "fsm")
    assert healthy.healthy(dsn, "fsm")
    assert not healthy.healthy(dsn, "api")
    db.execute("update kit.process set beat_at = beat_at - interval '5 minutes'")
    assert not healthy.healthy(dsn, "fsm")


def test_the_health_check_fails_without_a_database() -> None:
    done = subprocess.run(
        [sys.executable, "deploy/healthy.py", "fsm"],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "MEANTIME_DATABASE_URL" in done.stderr


def test_the_shell_script_is_one() -> None:
    assert subprocess.run(["sh", "-n", "deploy/initdb/10-grafana.sh"], cwd=ROOT).returncode == 0
