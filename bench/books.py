"""Seeded books for the benchmarks, written through the real journal."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from fillbook.facts.identity import key_of
from fillbook.facts.model import Batch, Claim, Coverage, Fill, Instrument
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page

VENUE, ACCOUNT, SOURCE = "bench", "0xbench", "bench-fills"
START_NS = 1_700_000_000_000_000_000
STEP_NS = 30_000_000_000
PAGE = 1000
SYMBOLS = [f"C{number}" for number in range(20)]


def fills(count: int, seed: int = 7) -> Iterator[Fill]:
    """Yield fills of twenty instruments: opens, scale-ins, partial exits, exits and flips."""
    dice = random.Random(seed)
    held = dict.fromkeys(SYMBOLS, 0)
    ticks = {symbol: dice.randrange(5_000, 500_000) for symbol in SYMBOLS}
    for number in range(count):
        symbol = SYMBOLS[min(dice.randrange(20), dice.randrange(20))]
        ticks[symbol] = max(1_000, ticks[symbol] + dice.randrange(-40, 41))
        lots = _lots(dice, held[symbol])
        held[symbol] += lots
        px = Decimal(ticks[symbol]).scaleb(-2)
        yield Fill(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=START_NS + number * STEP_NS,
            instrument=symbol,
            side="buy" if lots > 0 else "sell",
            px=px,
            qty=Decimal(abs(lots)).scaleb(-3),
            fee=(px * abs(lots)).scaleb(-7).quantize(Decimal("1e-6")),
            fee_asset="USDT",
            fill_id=str(number),
            order_id=str(number // 3),
            liquidity="maker" if dice.random() < 0.4 else "taker",
            decision_px=px - Decimal(dice.randrange(-3, 4)).scaleb(-2),
        )


def _lots(dice: random.Random, held: int) -> int:
    step = dice.randrange(1, 400)
    if held == 0:
        return step if dice.random() < 0.5 else -step
    sign, draw = (1 if held > 0 else -1), dice.random()
    if draw < 0.35:
        return sign * step
    if draw < 0.62:
        return -sign * max(1, abs(held) // 2)
    return -held if draw < 0.97 else -held - sign * step


def write_book(path: Path, count: int, seed: int = 7) -> None:
    """Write a book of `count` fills and their instruments."""
    opening = BatchOpen(
        batch_id="b-bench",
        source=SOURCE,
        rank=2,
        venue=VENUE,
        account=ACCOUNT,
        fingerprint=f"{seed}-{count}",
        name="seeded fills",
    )
    with Journal.create(path) as journal:
        journal.begin(opening, START_NS)
        waiting = [_claim(_instrument(symbol)) for symbol in SYMBOLS]
        done = 0
        for fill in fills(count, seed):
            waiting.append(_claim(fill))
            if len(waiting) == PAGE:
                done += len(waiting)
                journal.append(Page(batch_id="b-bench", claims=waiting, cursor=str(done)), START_NS)
                waiting = []
        final = _final(count)
        journal.append(
            Page(batch_id="b-bench", claims=waiting, cursor="end", final=final), START_NS
        )


def _instrument(symbol: str) -> Instrument:
    return Instrument(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=START_NS,
        symbol=symbol,
        contract="linear",
        base=symbol,
        quote="USDT",
        settle="USDT",
    )


def _claim(fact: Fill | Instrument) -> Claim:
    if isinstance(fact, Fill):
        return Claim(fact=fact, key=key_of(fact.ts_ns, fact.instrument, fact.fill_id))
    return Claim(fact=fact, key=key_of(fact.ts_ns, fact.symbol))


def _final(count: int) -> Batch:
    until_ns = START_NS + count * STEP_NS
    return Batch(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=until_ns,
        batch_id="b-bench",
        source=SOURCE,
        rank=2,
        fingerprint="",
        name="seeded fills",
        rows=count,
        coverage=(Coverage(component="fills", from_ns=START_NS, until_ns=until_ns),),
    )
