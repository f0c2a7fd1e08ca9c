"""All settings, read once from `MEANTIME_*` (nested with `__`), `.env` and `meantime.toml`; frozen.

No other module reads the environment (a test greps for it).
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Endpoint(_Part):
    """The MQTT server end point that devices connect to."""

    host: str = "127.0.0.1"
    port: int = Field(1883, description="0 picks a free port")
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    max_packet_bytes: int = Field(262_144, ge=1024, description="larger packets are refused")
    max_connections: int = Field(20_000, ge=1)
    keep_alive_seconds: int = Field(120, ge=5, description="the longest keep-alive granted to a device")
    processes: int = Field(1, ge=1, le=64, description="end points on this machine, sharing the port")
    anonymous: bool = Field(
        False,
        description="with unknown_devices=register: devices without credentials come in by their client id",
    )


class Collector(_Part):
    """The subscriber to an existing broker."""

    host: str | None = Field(None, description="set to collect from a broker")
    port: int = 1883
    username: str | None = None
    password: SecretStr | None = None
    client_id: str = "meantime-collector"
    group: str | None = Field(None, description="shared-subscription group; set to run several collectors")
    session_expiry_seconds: int = 7 * 86400
    tls: bool = Field(False, description="brokers mostly listen for it on port 8883")
    tls_ca: Path | None = Field(None, description="of the broker's certificate; the machine's own when unset")
    tls_certificate: Path | None = Field(None, description="of this client, where the broker asks for one")
    tls_key: Path | None = None
    sparkplug: bool = Field(True, description="subscribe to Sparkplug B (spBv1.0/…) too")
    sparkplug_host: str | None = Field(
        None,
        pattern=r"^[^/+#\x00]+$",
        description="primary host id that edge nodes wait for; set to publish that this host is online",
    )
    processes: int = Field(
        1, ge=1, le=64, description="collectors on this machine; more than one need a group"
    )


class JetStream(_Part):
    """The durable log between the doors and the database, for more than one machine; needs the extra `jetstream`."""

    url: str | None = Field(None, description="nats://host:4222, several with commas; set to use it")
    prefix: str = Field(
        "MEANTIME", pattern=r"^[A-Za-z0-9_-]+$", description="of the streams, one a partition"
    )
    partitions: int = Field(
        8, ge=1, le=1024, description="fixed once used: a device's partition follows from it"
    )
    replicas: int = Field(1, ge=1, le=5, description="copies of each record; 3 on a cluster of three")
    gigabytes: float = Field(2.0, gt=0, description="of each partition; a full one refuses, it drops nothing")
    processes: int = Field(1, ge=1, le=64, description="storage workers on this machine")


class Kafka(_Part):
    """The same log on Kafka; needs the extra `kafka`."""

    servers: str | None = Field(None, description="host:9092, several with commas; set to use it")
    topic: str = Field("meantime", pattern=r"^[A-Za-z0-9._-]{1,200}$")
    partitions: int = Field(
        8, ge=1, le=1024, description="fixed once used: a device's partition follows from it"
    )
    replicas: int = Field(1, ge=1, le=5, description="copies of each record, when the topic is made here")
    processes: int = Field(1, ge=1, le=64, description="storage workers on this machine")
    username: str | None = Field(None, description="set to log in (SASL)")
    password: SecretStr | None = None
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    tls: bool = False
    tls_ca: Path | None = Field(
        None, description="of the servers' certificates; the machine's own when unset"
    )
    tls_certificate: Path | None = Field(None, description="of this client, where the servers ask for one")
    tls_key: Path | None = None


class Ingest(_Part):
    topic_prefix: str = "meantime"
    buffer_messages: int = Field(40_000, ge=100, description="high-water mark: reading pauses above it")
    batch_messages: int = Field(10_000, ge=1, description="most messages in one transaction")
    linger_ms: float = Field(2.0, ge=0, description="how long a batch waits for company")
    future_seconds: float = Field(300, ge=0, description="a time stamp further ahead is refused")
    oldest_days: float = Field(400, gt=0, description="a time stamp older than this is refused")
    unknown_devices: Literal["quarantine", "register"] = "quarantine"
    raw_retention_days: int = Field(365, ge=1)
    refused_retention_days: int = Field(
        90, ge=1, description="dead letters, quarantined values and unknown devices are forgotten after this"
    )
    dead_letter_bytes: int = Field(
        1 << 30, ge=1 << 20, description="most bytes of dead letters; beyond it the oldest are forgotten"
    )
    mappings: Path | None = Field(None, description="TOML file that maps other topics and JSON to readings")
    sparkplug_uid: str = Field(
        "{group}:{edge}:{device}",
        description="uid of a Sparkplug device; its edge node's is the same without device",
    )

    @field_validator("sparkplug_uid")
    @classmethod
    def _placeholders(cls, template: str) -> str:
        try:
            template.format(group="g", edge="e", device="d")
        except (KeyError, IndexError, ValueError):
            raise ValueError("only {group}, {edge} and {device} may stand in it") from None
        return template


class Api(_Part):
    host: str = "127.0.0.1"
    port: int = Field(8080, description="0 picks a free port")
    secret: SecretStr | None = Field(
        None, description="signs sessions; made and kept in the database when unset"
    )
    session_hours: int = 12


class Analytics(_Part):
    processes: int = Field(1, ge=1, le=64, description="analytics processes on this machine")
    partitions: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="parts that the devices are shared out in, at least as many as processes on all machines; "
        "when unset as many as `processes`. It only grows, by whole multiples",
    )

    @property
    def shares(self) -> int:
        """The partitions to ask for."""
        return self.partitions or self.processes


class Dispatch(_Part):
    seconds: float = Field(2.0, gt=0, description="search time of one optimisation round")
    horizon_hours: float = 72
    speed_kmh: float = 38.0
    detour: float = 1.3


class Simulation(_Part):
    """The demo's fleet and staff."""

    seed: int = 7
    devices: int = Field(240, ge=3)
    history_days: int = Field(90, ge=1)
    speed: float = Field(600.0, gt=0, description="simulated seconds per second")
    interval_seconds: int = Field(600, ge=1, description="simulated time between two readings of a device")


class Grafana(_Part):
    url: str | None = None
    token: SecretStr | None = None


class Settings(BaseSettings):
    """Everything that can be set. `meantime config show` prints it with secrets masked."""

    model_config = SettingsConfigDict(
        env_prefix="MEANTIME_",
        env_nested_delimiter="__",
        env_file=".env",
        toml_file="meantime.toml",
        frozen=True,
        extra="ignore",
    )

    home: Path = Field(Path(".meantime"), description="data of the embedded default: database, logs, state")
    database_url: str | None = Field(None, description="PostgreSQL to use; the embedded one when unset")
    log_format: Literal["console", "json"] = "console"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    language: Literal["en", "zh"] = "en"
    timezone: str = "Asia/Shanghai"
    currency: str = Field("CNY", min_length=3, max_length=3)
    production: bool = Field(False, description="refuses demo accounts and default secrets")

    endpoint: Endpoint = Endpoint()
    collector: Collector = Collector()
    ingest: Ingest = Ingest()
    jetstream: JetStream = JetStream()
    kafka: Kafka = Kafka()
    analytics: Analytics = Analytics()
    dispatch: Dispatch = Dispatch()
    api: Api = Api()
    simulation: Simulation = Simulation()
    grafana: Grafana = Grafana()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, dotenv_settings, TomlConfigSettingsSource(settings_cls)


@cache
def load() -> Settings:
    """The settings of this process."""
    return Settings()


def environment(**changes: Any) -> dict[str, str]:
    """This process's environment with `MEANTIME_*` variables set, for a child process.

    `environment(database_url="…", endpoint__port=0)` sets MEANTIME_DATABASE_URL and MEANTIME_ENDPOINT__PORT.
    """
    return os.environ | {f"MEANTIME_{name.upper()}": str(value) for name, value in changes.items()}
