"""How surprising a symbol is after the symbols before it: a blend of frequency tables of growing context. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence


class ContextModel:
    """Frequencies of the next symbol after none, one, two … of the symbols `lags` rows before it.

    The longer context refines the estimate of the shorter one: with n rows seen in a context and prior weight w,
    p = (count + w p_shorter) / (n + w). A habit that is broken is thereby many nats of surprise, while a metric
    that never had habits is barely surprising at all; that is what makes one limit fit metrics of every kind.

    Args:
        symbols: how many different symbols there are.
        lags: rows back, nearest first, at least 1 each.
        prior: weight of the shorter context's estimate, in rows.
        contexts: when more contexts than this are known, counts are halved and what vanishes is forgotten.

    >>> model = ContextModel(symbols=2, lags=(1,))
    >>> steady = [model.step(n % 2) for n in range(40)]
    >>> bool(steady[-1] < 0.1 < 2.0 < model.step(1))
    True
    """

    def __init__(self, symbols: int, lags: Sequence[int], prior: float = 1.0, contexts: int = 30_000) -> None:
        self._symbols, self._lags, self._prior, self._limit = symbols, tuple(lags), prior, contexts
        self._past: list[int] = []
        self._tables: dict[int, list[float]] = {}

    def __len__(self) -> int:
        return len(self._tables)

    def step(self, symbol: int) -> float:
        """Surprise of the symbol in nats (-ln p), given what came before; then learn it."""
        probability, past = 1.0 / self._symbols, self._past
        key = 1
        for lag in (0, *self._lags):
            if lag > len(past):
                break
            if lag:
                key = key * self._symbols + past[-lag] + 1
            table = self._tables.get(key)
            if table is None:
                table = self._tables[key] = [0.0] * (self._symbols + 1)
            else:
                probability = (table[symbol] + self._prior * probability) / (table[-1] + self._prior)
            table[symbol] += 1.0
            table[-1] += 1.0
        past.append(symbol)
        if len(past) > self._lags[-1]:
            del past[0]
        if len(self._tables) > self._limit:
            self._forget()
        return -math.log(probability)

    def _forget(self) -> None:
        """Halve all counts, rounding down, and drop contexts that thereby never were."""
        for table in self._tables.values():
            table[:-1] = [count // 2 for count in table[:-1]]
            table[-1] = sum(table[:-1])
        self._tables = {key: table for key, table in self._tables.items() if table[-1] > 0}
