"""Counter-based random numbers: a draw is a hash of (seed, stream, device, counter), so it is the same however
and in whatever order it is asked for. Pure, vectorised. (NumPy's Philox needs one generator per key; a hash
takes arrays.)
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Words = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_A, _B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _mix(word: Words) -> Words:
    """The finaliser of SplitMix64: every output bit depends on every input bit."""
    word = (word ^ (word >> np.uint64(30))) * _A
    word = (word ^ (word >> np.uint64(27))) * _B
    return word ^ (word >> np.uint64(31))


@cache
def _key(seed: int, stream: str) -> np.uint64:
    digest = hashlib.blake2b(f"{seed}/{stream}".encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def words(seed: int, stream: str, device: Ints, counter: Ints) -> Words:
    """64 random bits each; `device` and `counter` broadcast."""
    with np.errstate(over="ignore"):
        key = _key(seed, stream)
        inner = _mix(key + np.atleast_1d(device).astype(np.uint64) * _GOLDEN)
        return _mix(inner + np.atleast_1d(counter).astype(np.uint64) * _B + _GOLDEN)


def uniform(seed: int, stream: str, device: Ints, counter: Ints) -> Floats:
    """In [0, 1)."""
    found: Floats = (words(seed, stream, device, counter) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return found


def normal(seed: int, stream: str, device: Ints, counter: Ints) -> Floats:
    """Mean 0, variance 1, bounded by ±3.47: the sum of four 16-bit uniforms, which costs one hash."""
    word = words(seed, stream, device, counter)
    low = np.uint64(0xFFFF)
    total = np.zeros(word.shape)
    for shift in (0, 16, 32, 48):
        total += (word >> np.uint64(shift)) & low
    found: Floats = (total / 65536.0 - 2.0) * np.sqrt(3.0)
    return found


def drift(seed: int, stream: str, device: Ints, ts: Ints, period: int) -> Floats:
    """Slow noise: normal draws every `period` (the unit of `ts`) joined smoothly; variance 0.5 … 1."""
    block = ts // period
    part = (ts - block * period) / period
    weight = part * part * (3.0 - 2.0 * part)
    before, after = normal(seed, stream, device, block), normal(seed, stream, device, block + 1)
    found: Floats = before + (after - before) * weight
    return found


def single(seed: int, stream: str, device: int, counter: int = 0) -> float:
    """One uniform draw in [0, 1)."""
    return float(uniform(seed, stream, np.array([device]), np.array([counter]))[0])
