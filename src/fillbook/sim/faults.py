"""Everything that can go wrong at a venue, by name, and a seeded plan of when it does.

A fault is switched on by name, alone or all together, or armed to strike at the next occasion.
Whether it strikes depends on the seed and the occasion only: never on a clock or on threads. What
was injected is counted, so a test can tell that its faults really happened.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from fillbook.ground.clock import MINUTE_NS
from fillbook.sim.dice import Dice

Family = Literal["reach", "transport", "rest", "ws", "trading"]


class Fault(msgspec.Struct, frozen=True):
    """One kind of fault: its name, what it does, and how often, in thousandths of occasions.

    A fault with `lasts_min` holds for that many minutes, at most once in every `every_min`;
    `in_thousand` is then the chance of each such stretch.
    """

    name: str
    family: Family
    in_thousand: int
    says: str
    every_min: int = 0
    lasts_min: int = 0


FAULTS = (
    # On the way to a venue: these strike only through `sim.venues.front`, by dice of their own.
    Fault("dns_error", "reach", 20, "the name of the venue's host does not resolve"),
    Fault("tls_error", "reach", 20, "the TLS handshake is broken off with an alert"),
    Fault("refuse", "transport", 20, "a new connection is reset at once"),
    Fault("reset", "transport", 15, "the connection is reset in the middle of a body"),
    Fault("truncated_json", "transport", 15, "a complete answer whose JSON ends early"),
    Fault("bad_gzip", "transport", 15, "a body said to be gzip that is not"),
    Fault("error_in_200", "transport", 15, "status 200 around an error message"),
    Fault("server_error", "transport", 20, "status 500 to 504 with a page of HTML"),
    Fault("rate_limited", "transport", 15, "status 429 with Retry-After, whatever was used"),
    Fault("banned", "transport", 4, "status 418 with Retry-After, whatever was used"),
    Fault("stall", "transport", 6, "nothing is answered for half a minute"),
    Fault("slow_drip", "transport", 10, "the body arrives a few bytes at a time"),
    Fault("duplicate_row", "rest", 120, "a row comes twice, the second time in a later page"),
    Fault("late_row", "rest", 30, "a row appears minutes after rows that are younger"),
    Fault("split_millisecond", "rest", 300, "a page ends between rows of one millisecond"),
    Fault("crowded_millisecond", "rest", 15, "more rows in one millisecond than a page holds"),
    Fault("offset_shift", "rest", 150, "a new row moves the offset that a cursor stands for"),
    Fault("unordered_ids", "rest", 60, "a later row has the smaller id"),
    Fault("empty_page", "rest", 80, "an empty page that says there are more"),
    Fault("cursor_expired", "rest", 60, "a cursor that the venue no longer knows"),
    Fault("correction", "rest", 25, "a row is undone or replaced by a later one"),
    Fault("quote_sized", "rest", 60, "a size in what was paid, not in what was bought"),
    Fault("repeated_trade_id", "rest", 60, "two executions of an order with one trade id"),
    Fault("miscounted_fills", "rest", 20, "an order that tells one execution more than it had"),
    Fault("retention_cut", "rest", 350, "older rows are gone for a while", 1440, 180),
    Fault("key_revoked", "rest", 250, "the key is unknown for a while", 1440, 60),
    Fault("key_widened", "rest", 250, "the key may suddenly trade", 1440, 60),
    Fault("symbol_renamed", "rest", 4, "an instrument goes on under another name"),
    Fault("symbol_delisted", "rest", 4, "an instrument is settled and trades no more"),
    Fault("maintenance", "rest", 500, "every request is turned away for a while", 720, 10),
    Fault("ws_silent", "ws", 8, "a connection stays open and says nothing more"),
    Fault("ws_drop", "ws", 12, "a connection ends without a closing frame"),
    Fault("ws_malformed", "ws", 30, "a frame that is not JSON"),
    Fault("ws_unknown", "ws", 30, "an event of a kind nobody has heard of"),
    Fault("ws_disorder", "ws", 40, "a frame overtakes the one before it"),
    Fault("ws_snapshot_again", "ws", 30, "the snapshot comes a second time"),
    Fault("ws_sequence_jump", "ws", 20, "sequence numbers skip, and events with them"),
    Fault("listen_key_expired", "ws", 8, "the stream's key expires; the connection stays"),
    Fault("ws_filled_again", "ws", 60, "the last execution is told a second time"),
    Fault("ws_burst", "ws", 3, "thousands of frames at once"),
    Fault("ws_mixed_batch", "ws", 100, "one frame with events of several kinds"),
    Fault("flip", "trading", 40, "one order turns a position over"),
    Fault("adl", "trading", 6, "a position is deleveraged automatically"),
    Fault("liquidation", "trading", 8, "a position is liquidated"),
    Fault("settlement", "trading", 4, "a contract is settled at its mark"),
    Fault("self_trade", "trading", 25, "an account trades with itself"),
    Fault("third_currency_fee", "trading", 80, "a fee in a currency nobody traded"),
    Fault("rebate", "trading", 80, "a fee that pays"),
    Fault("funding_sign_change", "trading", 200, "a funding rate of the other sign"),
    Fault("dust", "trading", 20, "a close leaves less than can be traded"),
    Fault("opened_before", "trading", 1000, "a position older than the venue's history"),
)
BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in FAULTS}
# What only Coinbase does.
COINBASE_OWN = ("quote_sized", "repeated_trade_id", "miscounted_fills")
TRANSPORT = tuple(fault.name for fault in FAULTS if fault.family == "transport")


class FaultPlan:
    """Which faults are on, and when they strike; without names a world is flawless.

    `often` overrides a fault's thousandths. Transport faults strike at most `in_a_row` times one
    after the other at one occasion, so that whoever tries again gets through.

    >>> plan = FaultPlan(seed=1)
    >>> plan.arm("server_error")
    >>> plan.first(TRANSPORT, "fills"), plan.first(TRANSPORT, "fills")
    ('server_error', None)
    >>> plan.injected["server_error"]
    1
    """

    def __init__(
        self,
        seed: int = 0,
        names: Iterable[str] = (),
        *,
        often: Mapping[str, int] | None = None,
        in_a_row: int = 2,
    ) -> None:
        self.seed = seed
        self.injected: Counter[str] = Counter()
        self._lock = threading.RLock()
        self._on: set[str] = set()
        self._often = {**{f.name: f.in_thousand for f in FAULTS}, **(often or {})}
        self._in_a_row = in_a_row
        self._armed: Counter[str] = Counter()
        self._streaks: Counter[str] = Counter()
        self._dice: dict[tuple[str, str], Dice] = {}
        self._told: dict[tuple[str, str], bool] = {}
        self._open: dict[tuple[str, str], tuple[int, int]] = {}
        self.switch(*names)

    @classmethod
    def all_on(cls, seed: int, *, without: Iterable[str] = ()) -> FaultPlan:
        """Return a plan with every fault switched on but some."""
        return cls(seed, BY_NAME.keys() - set(without))

    @property
    def names(self) -> frozenset[str]:
        """Return the faults that are on."""
        with self._lock:
            return frozenset(self._on)

    def switch(self, *names: str, on: bool = True) -> None:
        """Switch faults on or off by name."""
        self._check(names)
        with self._lock:
            self._on = self._on | set(names) if on else self._on - set(names)

    def calm(self, *families: Family) -> None:
        """Switch off every fault of the given families, of all where none is given."""
        with self._lock:
            gone = {f.name for f in FAULTS if not families or f.family in families}
            self._on -= gone
            for name in gone:
                self._armed.pop(name, None)
            self._open = {key: until for key, until in self._open.items() if key[0] not in gone}

    def arm(self, name: str, times: int = 1) -> None:
        """Let a fault strike at its next occasions, whether it is switched on or not."""
        self._check([name])
        with self._lock:
            self._armed[name] += times

    def strikes(self, name: str, occasion: str = "") -> bool:
        """Say whether a fault strikes now: the answer to the nth question of this occasion."""
        with self._lock:
            struck = self._draws(name, occasion)
            if struck:
                self.injected[name] += 1
            return struck

    def strikes_on(self, name: str, key: str) -> bool:
        """Say whether a fault strikes one named thing; always the same answer, counted once."""
        with self._lock:
            known = self._told.get((name, key))
            if known is None:
                known = self._told[name, key] = self._draws(name, f"on:{key}")
                self._dice.pop((name, f"on:{key}"), None)
                if known:
                    self.injected[name] += 1
            return known

    def first(self, names: Sequence[str], occasion: str = "") -> str | None:
        """Return the one fault of several that strikes now, None where none does."""
        with self._lock:
            for name in names:
                tired = self._streaks[occasion] >= self._in_a_row and not self._armed[name]
                if not tired and self.strikes(name, occasion):
                    self._streaks[occasion] += 1
                    return name
            self._streaks[occasion] = 0
            return None

    def holds(self, name: str, now_ns: int, whose: str = "") -> bool:
        """Say whether a lasting fault holds at an instant; a pure function of the time.

        An armed one holds from the next question on. `whose` sets apart those who suffer it.
        """
        fault = BY_NAME[name]
        lasts_ns, every_ns = fault.lasts_min * MINUTE_NS, fault.every_min * MINUTE_NS
        with self._lock:
            if self._armed[name]:
                self._armed[name] -= 1
                self._open[name, whose] = (now_ns, now_ns + lasts_ns)
                self.injected[name] += 1
            since_ns, until_ns = self._open.get((name, whose), (0, 0))
            if since_ns <= now_ns < until_ns:
                return True
            if name not in self._on:
                return False
            nth = now_ns // every_ns
            dice = Dice(self.seed, f"fault:{name}:{whose}:{nth}")
            since_ns = nth * every_ns + dice.below(every_ns - lasts_ns)
            if not dice.chance(self._often[name]) or not 0 <= now_ns - since_ns < lasts_ns:
                return False
            if (name, f"{whose}:{nth}") not in self._told:
                self._told[name, f"{whose}:{nth}"] = True
                self.injected[name] += 1
            return True

    def amount(self, name: str, key: str, low: int, high: int) -> int:
        """Return how much of a fault: a number in [low, high], the same for the same key."""
        return Dice(self.seed, f"amount:{name}:{key}").between(low, high)

    def _draws(self, name: str, occasion: str) -> bool:
        if self._armed[name]:
            self._armed[name] -= 1
            return True
        if name not in self._on:
            return False
        dice = self._dice.get((name, occasion))
        if dice is None:
            dice = self._dice[name, occasion] = Dice(self.seed, f"fault:{name}:{occasion}")
        return dice.chance(self._often[name])

    def _check(self, names: Iterable[str]) -> None:
        unknown = sorted(set(names) - BY_NAME.keys())
        if unknown:
            raise ValueError(f"no such fault: {', '.join(unknown)}; there are {', '.join(BY_NAME)}")
