"""Claims built by hand, and whole books of them drawn at random.

`remember` is the journal's work done in a few lines: one claim per identity and content, with
every import that asserts it. The functions that build facts fill in what a test does not speak of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st

from fillbook.facts.codec import canonical, content_hash, encode
from fillbook.facts.identity import with_ordinal
from fillbook.facts.model import (
    AnyFact,
    Assertion,
    Assignment,
    Batch,
    Charge,
    Claim,
    Claimed,
    Correction,
    Coverage,
    Decision,
    Fill,
    Funding,
    Held,
    Instrument,
    Report,
)

VENUE, ACCOUNT = "testex", "acct"
SECOND = 10**9
HOUR = 3600 * SECOND
DAY = 24 * HOUR
T0 = 1_767_571_200 * SECOND
"""2026-01-05T00:00:00Z."""


@dataclass(frozen=True)
class Import:
    """One batch: who says it, how strong the source is, what it says and what it promises."""

    claims: Sequence[Claim]
    batch_id: str = "b"
    source: str = "api"
    rank: int = 3
    covers: tuple[Coverage, ...] = ()
    labels: tuple[str, ...] = ()
    venue: str = VENUE
    account: str = ACCOUNT


def remember(*imports: Import) -> list[Claimed]:
    """Return what a journal would hold after these imports, in this order."""
    known: dict[tuple[str, str, str, str, bytes], Claimed] = {}
    for each in imports:
        batch = Batch(
            venue=each.venue,
            account=each.account,
            ts_ns=T0,
            batch_id=each.batch_id,
            source=each.source,
            rank=each.rank,
            fingerprint=each.batch_id,
            name=each.batch_id,
            rows=len(each.claims),
            coverage=each.covers,
            labels=each.labels,
        )
        for claim in [*each.claims, Claim(batch, f"batch|{each.batch_id}")]:
            fact = canonical(claim.fact)
            content = content_hash(encode(fact))
            key = with_ordinal(claim.key, claim.ordinal)
            place = (fact.venue, fact.account, type(fact).__name__, key, content)
            said = Assertion(each.batch_id, each.source, each.rank, claim.row)
            before = known.get(place)
            if before is None:
                known[place] = Claimed(len(known) + 1, key, content, fact, (said,))
            else:
                together = (*before.assertions, said)
                known[place] = Claimed(before.seq, key, content, fact, together)
    return list(known.values())


def number(text: str | int | Decimal | None) -> Decimal | None:
    """Return decimal text as a Decimal; None stays unknown."""
    return None if text is None else Decimal(text)


def market(symbol: str = "BTC", contract: str = "linear", **more: Any) -> Claim:
    """Describe an instrument; its base is its symbol, its quote USD."""
    settle = symbol if contract == "inverse" else "USD"
    terms = {"base": symbol, "quote": "USD", "settle": settle} | more
    account = terms.pop("account", ACCOUNT)
    terms["multiplier"] = Decimal(terms.get("multiplier", 1))
    fact = Instrument(
        venue=VENUE,
        account=account,
        ts_ns=0,
        symbol=symbol,
        contract=contract,  # type: ignore[arg-type]
        **terms,
    )
    return Claim(fact, f"instrument|{symbol}")


_DECIMALS = ("px", "qty", "fee", "start_position", "venue_pnl", "decision_px", "arrival_px")


def fill(
    at: int, side: str, qty: Any, px: Any = 100, *, key: str | None = None, **more: Any
) -> Claim:
    """Claim one execution `at` nanoseconds after T0; `row` is its place in a file's instant."""
    row = more.pop("row", None)
    ordinal = more.pop("ordinal", 0)
    fields: dict[str, Any] = {"instrument": "BTC", "venue": VENUE, "account": ACCOUNT} | more
    for name in (*_DECIMALS, "mid_px"):
        if name in fields:
            fields[name] = number(fields[name])
    if fields.get("fee") is not None:
        fields.setdefault("fee_asset", "USD")
    fact = Fill(ts_ns=T0 + at, side=side, qty=Decimal(qty), px=Decimal(px), **fields)  # type: ignore[arg-type]
    return Claim(fact, key or f"fill|{at}|{side}|{qty}|{px}", row=row, ordinal=ordinal)


def funding(at: int, amount: Any, *, key: str | None = None, **more: Any) -> Claim:
    """Claim a funding payment; positive = received."""
    fields: dict[str, Any] = {"instrument": "BTC", "venue": VENUE, "account": ACCOUNT}
    fields |= {"asset": "USD"} | more
    fact = Funding(ts_ns=T0 + at, amount=Decimal(amount), **fields)
    return Claim(fact, key or f"funding|{at}|{fields['instrument']}")


def charge(at: int, amount: Any, *, key: str | None = None, **more: Any) -> Claim:
    """Claim money taken outside fills; positive = cost."""
    fields: dict[str, Any] = {"instrument": "BTC", "venue": VENUE, "account": ACCOUNT}
    fields |= {"asset": "USD", "what": "interest"} | more
    fact = Charge(ts_ns=T0 + at, amount=Decimal(amount), **fields)
    return Claim(fact, key or f"charge|{at}|{amount}")


def stated(
    at: int,
    *held: tuple[str, Any],
    until: int | None = None,
    side: str = "net",
    listed: Sequence[str] = ("BTC", "ETH"),
) -> list[Claim]:
    """Claim the open positions in some markets as their venue told them in [at, until)."""
    rows = tuple(
        Held(instrument=name, qty=Decimal(qty), position_side=side)  # type: ignore[arg-type]
        for name, qty in held
    )
    whole = Report(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=T0 + at,
        printed_ns=1 if until is None else until - at,
        what="snapshot",
        held=rows,
        listed=tuple(listed),
    )
    return [Claim(whole, f"snapshot|{at}|{whole.printed_ns}|{held}|{side}|{listed}")]


def other(fact: AnyFact, key: str) -> Claim:
    """Claim any other fact under a key."""
    return Claim(fact, key)


def covers(
    component: str = "fills", since: int = 0, until: int = DAY, instrument: str | None = None
) -> Coverage:
    """Promise everything of a component in [since, until) after T0."""
    return Coverage(
        component=component,  # type: ignore[arg-type]
        from_ns=T0 + since,
        until_ns=T0 + until,
        instrument=instrument,
    )


# --- whole books, drawn -----------------------------------------------------------------------

MARKETS: dict[str, Instrument] = {
    symbol: market(symbol, contract, multiplier=multiplier).fact  # type: ignore[misc]
    for symbol, contract, multiplier in (
        ("BTC", "linear", "1"),
        ("MICRO", "linear", "0.001"),
        ("COIN", "spot", "1"),
        ("XBT", "inverse", "100"),
    )
}


@dataclass
class Drawn:
    """A book under construction: claims in the order in which they are drawn."""

    claims: list[Claim] = field(default_factory=list)
    at: int = 0
    positions: dict[str, Decimal] = field(default_factory=dict)


@st.composite
def books(
    draw: st.DrawFn,
    *,
    max_events: int = 24,
    symbols: Sequence[str] = tuple(MARKETS),
    strategies: Sequence[str | None] = (None, "fade", "trend"),
    apart: bool = False,
    disturbed: bool = True,
    stocked: bool = False,
    third_assets: bool = True,
    fees: Sequence[str | None] = (None, "0.02", "0.02", "-0.01", "0.0105"),
) -> list[Claim]:
    """Draw the claims of a small book.

    `apart` puts every event in an instant of its own. `disturbed` adds what makes order and
    resolve work: stated start positions (some of them wrong), venue sequences, rows, conflicts.
    `stocked` buys coins first, so that spot never sells what it does not have. `third_assets`
    lets some fees be paid in a coin that is neither side of the market.
    """
    drawn = Drawn([Claim(MARKETS[symbol], f"instrument|{symbol}") for symbol in symbols])
    if stocked and "COIN" in symbols:
        stock = {"instrument": "COIN", "fee": "0", "fill_id": "stock"}
        drawn.claims.append(fill(0, "buy", 1000, 100, key="fill|stock", **stock))
        drawn.positions["COIN"] = Decimal(1000)
        drawn.at += SECOND
    for number_ in range(draw(st.integers(1, max_events))):
        drawn.at += draw(st.sampled_from((SECOND, HOUR) if apart else (0, 0, SECOND, HOUR)))
        symbol = draw(st.sampled_from(symbols))
        kind = draw(st.sampled_from(("fill",) * 6 + ("funding", "charge")))
        if kind == "fill":
            who = draw(st.sampled_from(strategies))
            fee = draw(st.sampled_from(fees))
            third = third_assets and draw(st.integers(0, 11)) == 0
            claim = _drawn_fill(draw, drawn, symbol, number_, who, fee, third, stocked)
            drawn.claims.append(claim)
            if disturbed:
                drawn.claims[-1] = _disturbed(draw, drawn.claims[-1])
                drawn.claims += _afterwards(draw, drawn, drawn.claims[-1])
        else:
            amount = Decimal(draw(st.integers(-500, 500))).scaleb(-4)
            settle = MARKETS[symbol].settle
            if kind == "funding" and MARKETS[symbol].contract != "spot":
                strategy = draw(st.sampled_from((None, None, *strategies)))
                claim = funding(
                    drawn.at,
                    amount,
                    key=f"{kind}|{number_}",
                    instrument=symbol,
                    asset=settle,
                    strategy=strategy,
                )
            else:
                claim = charge(
                    drawn.at, amount, key=f"{kind}|{number_}", instrument=symbol, asset=settle
                )
            drawn.claims.append(claim)
    return drawn.claims


def _drawn_fill(
    draw: st.DrawFn,
    drawn: Drawn,
    symbol: str,
    number_: int,
    strategy: str | None,
    fee: str | None,
    third: bool,
    stocked: bool,
) -> Claim:
    spec = MARKETS[symbol]
    held = drawn.positions.get(symbol, Decimal(0))
    size = Decimal(draw(st.integers(1, 40))).scaleb(-1 if spec.contract != "inverse" else 0)
    side = draw(st.sampled_from(("buy", "sell")))
    if held and draw(st.integers(0, 3)) == 0:
        size, side = abs(held), "sell" if held > 0 else "buy"
    if stocked and spec.contract == "spot" and size > held:
        side = "buy"
    px = Decimal(draw(st.integers(800, 1200))).scaleb(-1)
    more: dict[str, Any] = {
        "instrument": symbol,
        "strategy": strategy,
        "fill_id": str(number_),
    }
    moved = size if side == "buy" else -size
    if fee is not None:
        more["fee"] = fee
        in_base = spec.contract == "spot" and side == "buy" and draw(st.booleans())
        more["fee_asset"] = "BNB" if third else spec.base if in_base else spec.settle
        if in_base and not third:
            moved -= Decimal(fee)
    if draw(st.booleans()):
        for rung in ("decision_px", "arrival_px", "mid_px"):
            if draw(st.integers(0, 2)):
                more[rung] = px + Decimal(draw(st.integers(-40, 40))).scaleb(-2)
    drawn.positions[symbol] = held + moved
    return fill(drawn.at, side, size, px, key=f"fill|{number_}", **more)


def _disturbed(draw: st.DrawFn, claim: Claim) -> Claim:
    """Add what orders an instant: a start position (maybe a wrong one), a row, a sequence."""
    more: dict[str, Any] = {}
    stated = draw(st.integers(0, 5))
    if stated <= 2:
        more["start_position"] = Decimal(draw(st.integers(-20, 20))).scaleb(-1)
    if draw(st.integers(0, 3)) == 0:
        more["venue_seq"] = draw(st.integers(1, 9))
    row = draw(st.sampled_from((None, 0, 1, 2)))
    return Claim(msgspec.structs.replace(claim.fact, **more), claim.key, row=row)


def _afterwards(draw: st.DrawFn, drawn: Drawn, claim: Claim) -> list[Claim]:
    """Draw what is said of a fill later: another content, a correction, a strategy, a decision."""
    said = claim.fact
    assert isinstance(said, Fill)
    what = draw(st.integers(0, 11))
    base: dict[str, Any] = {"venue": VENUE, "account": ACCOUNT, "ts_ns": T0 + drawn.at}
    if what == 0:
        other_fee = msgspec.structs.replace(said, fee=Decimal("0.5"), fee_asset="USD")
        return [Claim(other_fee, claim.key, row=claim.row)]
    if what == 1:
        replacement = msgspec.structs.replace(said, px=said.px + 1)
        correction = Correction(
            **base,
            target_key=claim.key,
            action=draw(st.sampled_from(("reverse", "replace"))),
            replacement=replacement,
        )
        return [Claim(correction, f"correction|{claim.key}")]
    if what == 2:
        strategy = draw(st.sampled_from(("late", "fade")))
        return [
            Claim(
                Assignment(**base, strategy=strategy, fill_id=said.fill_id),
                f"assignment|{draw(st.integers(0, 1))}|{claim.key}",
            )
        ]
    if what == 3:
        decision = Decision(
            **base,
            decision_id=claim.key,
            instrument=said.instrument,
            action=said.side,
            decision_px=said.px - 1,
            fill_id=said.fill_id,
        )
        return [Claim(decision, f"decision|{claim.key}")]
    return []


def symbols_of(claims: Iterable[Claim]) -> set[str]:
    """Return the instruments that money events of a book name."""
    return {
        claim.fact.instrument
        for claim in claims
        if isinstance(claim.fact, Fill | Funding | Charge) and claim.fact.instrument
    }
