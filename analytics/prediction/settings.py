"""Who decides about orders of a device type: the `[prediction]` table of its file.

[prediction]
decides = true   # where a failure model of a component is in force, shift, spike, joint and mild fault codes open no
                 # orders of their own: they are part of what the model judges by expected cost. Default: false.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kit.database import Conn
from kit.errors import Invalid


def load(conn: Conn, data: Mapping[str, Any]) -> bool:
    """Put a device type's choice in force, in the caller's transaction; after `ingest.device_types.load`.

    Raises:
        Invalid: the table has something else, or not a truth value.
    """
    model, table = data["model"]["code"], data.get("prediction", {})
    if not isinstance(table, Mapping) or set(table) - {"decides"}:
        raise Invalid(f"{model}: [prediction] has only decides = true or false, not {table!r}.")
    decides = table.get("decides", False)
    if not isinstance(decides, bool):
        raise Invalid(f"{model}: [prediction] decides must be true or false, not {decides!r}.")
    if decides:
        conn.execute("insert into analytics.prediction_decides values (%s) on conflict do nothing", (model,))
    else:
        conn.execute("delete from analytics.prediction_decides where model = %s", (model,))
    return decides
