"""Publishes the dashboards to somebody's own Grafana."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from grafana_client import GrafanaApi, TokenAuth
from grafana_client.client import GrafanaClientError, GrafanaException

from dashboards.build import BOARDS
from dashboards.panels import render
from kit.errors import Misconfigured, Unavailable
from kit.settings import Settings

FOLDER_UID: Final = "meantime"
FOLDER_TITLE: Final = "Meantime"


def push(settings: Settings) -> list[str]:
    """Create or overwrite the dashboards in the folder "Meantime"; returns their addresses.

    Raises:
        Misconfigured: no Grafana is set, or it refuses the token.
        Unavailable: it does not answer.
    """
    grafana = _client(settings)
    try:
        _ensure_folder(grafana)
        return [_publish(grafana, str(settings.grafana.url), render(board)) for board in BOARDS]
    except GrafanaException as error:
        raise _translated(error, settings) from error
    except OSError as error:
        raise Unavailable(f"Grafana at {settings.grafana.url} does not answer: {error}") from error


def _client(settings: Settings) -> Any:
    if settings.grafana.url is None or settings.grafana.token is None:
        raise Misconfigured(
            "No Grafana is set: MEANTIME_GRAFANA__URL is its address, "
            "MEANTIME_GRAFANA__TOKEN the token of a service account."
        )
    url = urlsplit(settings.grafana.url)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise Misconfigured(
            f"{settings.grafana.url!r} is no address of a Grafana; write it like http://localhost:3000"
        )
    return GrafanaApi(
        TokenAuth(settings.grafana.token.get_secret_value()),
        host=url.hostname,
        port=url.port,
        protocol=url.scheme,
        url_path_prefix=f"{path}/" if (path := url.path.strip("/")) else "",  # glued to "api" as it is
    )


def _ensure_folder(grafana: Any) -> None:
    try:
        grafana.folder.get_folder(FOLDER_UID)
    except GrafanaClientError as error:
        if error.status_code != 404:
            raise
        grafana.folder.create_folder(FOLDER_TITLE, uid=FOLDER_UID)


def _publish(grafana: Any, address: str, board: dict[str, Any]) -> str:
    done = grafana.dashboard.update_dashboard(
        {
            "dashboard": board,
            "folderUid": FOLDER_UID,
            "overwrite": True,
            "message": "meantime dashboards push",
        }
    )
    return address.rstrip("/") + str(done["url"])


def _translated(error: GrafanaException, settings: Settings) -> Misconfigured | Unavailable:
    if error.status_code in (401, 403):
        return Misconfigured(
            f"Grafana at {settings.grafana.url} refuses the token: it needs the Editor role. It said: {error.message}"
        )
    return Unavailable(f"Grafana at {settings.grafana.url} answered {error.status_code}: {error.message}")
