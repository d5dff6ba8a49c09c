"""Claims built by hand, and whole books of them drawn at random.

`remember` is the journal's work done in a few lines: one claim per identity and content, with
every import that asserts it. The functions that build facts fill in what a test does not speak of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from fillbook.facts.codec import canonical, content_hash, encode
from fillbook.facts.identity import with_ordinal
from fillbook.facts.model import (
    AnyFact,
    Assertion,
    Batch,
    Charge,
    Claim,
    Claimed,
    Coverage,
    Fill,
    Funding,
    Instrument,
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
) -> list[Claim]:
    """Draw the claims of a small book.

    `apart` puts every event in an instant of its own. `disturbed` adds what makes order and
    resolve work: stated start positions (some of them wrong), venue sequences, rows, conflicts.
    """
    drawn = Drawn([Claim(MARKETS[symbol], f"instrument|{symbol}") for symbol in symbols])
    for number_ in range(draw(st.integers(1, max_events))):
        drawn.at += draw(st.sampled_from((0, 0, SECOND, HOUR))) if not apart else SECOND
        symbol = draw(st.sampled_from(symbols))
        kind = draw(st.sampled_from(("fill",) * 6 + ("funding", "charge")))
        if kind == "fill":
            drawn.claims.append(_drawn_fill(draw, drawn, symbol, number_, strategies, disturbed))
            if disturbed and draw(st.integers(0, 9)) == 0:
                drawn.claims.append(_contradiction(drawn.claims[-1]))
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
    strategies: Sequence[str | None],
    disturbed: bool,
) -> Claim:
    spec = MARKETS[symbol]
    held = drawn.positions.get(symbol, Decimal(0))
    size = Decimal(draw(st.integers(1, 40))).scaleb(-1 if spec.contract != "inverse" else 0)
    side = draw(st.sampled_from(("buy", "sell")))
    if held and draw(st.integers(0, 3)) == 0:
        size, side = abs(held), "sell" if held > 0 else "buy"
    px = Decimal(draw(st.integers(800, 1200))).scaleb(-1)
    more: dict[str, Any] = {
        "instrument": symbol,
        "strategy": draw(st.sampled_from(strategies)),
        "fill_id": str(number_),
    }
    moved = size if side == "buy" else -size
    fee = draw(st.sampled_from((None, "0.02", "0.02", "-0.01", "0.0105")))
    if fee is not None:
        more["fee"] = fee
        in_base = spec.contract == "spot" and side == "buy" and draw(st.booleans())
        third = draw(st.integers(0, 11)) == 0
        more["fee_asset"] = "BNB" if third else spec.base if in_base else spec.settle
        if in_base and not third:
            moved -= Decimal(fee)
    if draw(st.booleans()):
        for rung in ("decision_px", "arrival_px", "mid_px"):
            if draw(st.integers(0, 2)):
                more[rung] = px + Decimal(draw(st.integers(-40, 40))).scaleb(-2)
    if disturbed:
        stated = draw(st.integers(0, 5))
        if stated <= 2:
            more["start_position"] = held + (Decimal("0.3") if stated == 0 else 0)
        more["row"] = draw(st.sampled_from((None, 0, 1, 2)))
        if draw(st.integers(0, 3)) == 0:
            more["venue_seq"] = draw(st.integers(1, 9))
    drawn.positions[symbol] = held + moved
    return fill(drawn.at, side, size, px, key=f"fill|{number_}", **more)


def _contradiction(claim: Claim) -> Claim:
    """Return the same event with another fee: two contents under one identity."""
    import msgspec

    assert isinstance(claim.fact, Fill)
    fact = msgspec.structs.replace(claim.fact, fee=Decimal("0.5"), fee_asset="USD")
    return msgspec.structs.replace(claim, fact=fact)


def symbols_of(claims: Iterable[Claim]) -> set[str]:
    """Return the instruments that money events of a book name."""
    return {
        claim.fact.instrument
        for claim in claims
        if isinstance(claim.fact, Fill | Funding | Charge) and claim.fact.instrument
    }
