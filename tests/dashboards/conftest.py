"""The alerts are tried on a door that runs."""

from tests.ingest.doors.conftest import devices, settings, start  # noqa: F401
