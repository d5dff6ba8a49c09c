"""Decisions announced before their position appears: the next position of the asset takes them."""

from __future__ import annotations

import re
import threading

from fillbook.ground.clock import SECOND_NS
from fillbook.sources.observed_rows import normal_id

EXPIRY_NS = 300 * SECOND_NS
# Coinbase's names of its perpetual-style futures.
_ALIASES = {"BIP": "BTCUSD", "ETP": "ETHUSD"}
_QUOTE = re.compile(r"(?<=.)(USD[TC]?|EUR)$")
_DATED = re.compile(r"\d{1,2}[A-Z]{3}\d{2}(-.*)?|\d{6,8}|PERP.*|INTX|CDE")


def asset_of(name: str) -> str:
    """Bring the names of one asset to one: futures and dashes included.

    >>> [asset_of(n) for n in ("BIP-20DEC30-CDE", "BTC-USD", "btc/usd", "BTC-20DEC30", "ETHUSDT")]
    ['BTCUSD', 'BTCUSD', 'BTCUSD', 'BTCUSD', 'ETHUSDT']
    """
    upper = name.strip().upper()
    base, _, rest = re.sub(r"[/_: ]", "-", upper).partition("-")
    if base in _ALIASES:
        return _ALIASES[base]
    if _DATED.fullmatch(rest):
        return f"{base}USD"
    return re.sub(r"[^A-Z0-9]", "", upper)


def _names(instrument: str) -> tuple[str, ...]:
    """Return what an instrument may have been announced as, the most exact first.

    >>> _names("BIP-20DEC30-CDE"), _names("ETHUSDT"), _names("BTC")
    (('BTCUSD', 'BTC'), ('ETHUSDT', 'ETH'), ('BTC', 'BTCUSD'))
    """
    asset = asset_of(instrument)
    base = _QUOTE.sub("", asset)
    return (asset, base) if base != asset else (asset, f"{asset}USD")


class Announced:
    """Decisions that wait for their position; each serves one position, within its time."""

    def __init__(self, expiry_ns: int = EXPIRY_NS) -> None:
        self._expiry_ns = expiry_ns
        self._lock = threading.Lock()
        self._waiting: dict[str, tuple[str, int]] = {}

    def add(self, decision_id: object, asset: str, now_ns: int) -> bool:
        """Expect a position of an asset; False when the id says nothing."""
        named = normal_id(decision_id)
        if named is None:
            return False
        with self._lock:
            self._waiting[asset_of(asset)] = (named, now_ns)
        return True

    def take(self, instrument: str, now_ns: int) -> str | None:
        """Return the decision a new position carries, None where none was announced in time."""
        with self._lock:
            for name in _names(instrument):
                named, told_ns = self._waiting.pop(name, ("", 0))
                if named and now_ns - told_ns <= self._expiry_ns:
                    return named
        return None
