"""One thread for scikit-learn. Its teams of OpenMP threads wait for each other by spinning; beside the product's other
processes that made a fit of 0.2 s one of 19 s, and alone a second thread gains little on tables of this size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]


@contextmanager
def one_thread() -> Iterator[None]:
    """Also usable as a decorator."""
    with threadpool_limits(limits=1):
        yield
