"""Models as bytes: one line that says what follows, then the pickle. Only the analytics role can write them. Pure."""

from __future__ import annotations

import hashlib
import json
import pickle
from importlib import metadata
from typing import TypeVar

from kit.errors import Invalid

FORMAT = 2  # raise it whenever a fitted class or the meaning of a feature changes
SKLEARN = metadata.version("scikit-learn")  # read, not imported: it takes a second
T = TypeVar("T")


def dump(model: object) -> bytes:
    """A fitted model as bytes."""
    body = pickle.dumps(model, protocol=5)
    head = {
        "format": FORMAT,
        "class": type(model).__name__,
        "sklearn": SKLEARN,
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + body


def load(data: bytes, expected: type[T]) -> T:
    """The model in such bytes; nothing is unpickled before the head has been found right.

    Raises:
        Invalid: other bytes, another format version, another scikit-learn, damaged, or another kind of model.
    """
    line, _, body = data.partition(b"\n")
    try:
        head = json.loads(line)
        found = {name: head[name] for name in ("format", "class", "sklearn", "sha256")}
    except (ValueError, TypeError, KeyError) as error:
        raise Invalid("This is no model file: its first line does not say what it is.") from error
    wanted = {"format": FORMAT, "class": expected.__name__, "sklearn": SKLEARN}
    for name, value in wanted.items():
        if found[name] != value:
            raise Invalid(
                f"The model file has {name} {found[name]!r}; this program reads {value!r}. Train it anew."
            )
    if hashlib.sha256(body).hexdigest() != found["sha256"]:
        raise Invalid("The model file is damaged: its content does not match its hash. Train it anew.")
    model = pickle.loads(body)
    if not isinstance(model, expected):
        raise Invalid(f"The model file holds a {type(model).__name__}, not a {expected.__name__}.")
    return model
