"""Reads the text tables under tests/cases/scenarios: what happened, and what must come out.

A case is written for a trader. Its first line says what it shows. Then one line per event, in
the order in which the book learns of them (times need not rise), then what must be true
(`observed sell 1 @ 105 left=0` is a position found gone, with no fill to tell of it; `stated 5`
is all that the venue says is open in that minute):

    instrument BTCUSDT linear USDT

    10:00  buy   2 @ 100  fee 0.20 USDT     -> position 2
    11:00  sell  3 @ 110  fee 0.33 USDT     -> position -1  realised 20
    12:00  mark  105

    net = 24.47
    trade long 2: gross 20, fees 0.42, net 19.58, win

Every money figure is compared exactly. `key=value` after a fill sets one of its ids or prices.
Anything the reader does not know is an error, so a misspelt expectation cannot pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import msgspec

from fillbook.facts.identity import key_of, printed_key
from fillbook.facts.model import (
    AnyFact,
    Assignment,
    Charge,
    Claim,
    Component,
    Correction,
    Coverage,
    Decision,
    Fill,
    Funding,
    Held,
    Instrument,
    OrderUpdate,
    Report,
)
from fillbook.ground.clock import DAY_NS, parse_ns
from fillbook.marks.series import Mark

VENUE, ACCOUNT = "testex", "acct"
FIRST_DAY_NS = parse_ns("2026-01-05T00:00:00Z")
LAST_NS = FIRST_DAY_NS + 10 * DAY_NS

_EVENT = re.compile(r"(?:d(?P<day>\d) )?(?P<clock>\d\d:\d\d(?::\d\d(?:\.\d+)?)?)\s+(?P<rest>\S.*)")
_FILL = re.compile(
    r"(?P<side>buy|sell)\s+(?P<qty>\S+) @ (?P<px>\S+)"
    r"(?:\s+fee (?:(?P<fee>-?[\d.]+) (?P<asset>\w+)|unknown))?(?P<more>(?:\s+\w+=\S+)*)"
)
_WANTED = re.compile(
    r"(?P<gone>gone)?(?:position (?P<position>\S+))?\s*(?:realised (?P<realised>\S+))?"
)
_SOURCE = re.compile(r"source (\S+) rank (\d)(?: named (\S+))?(?: covers ([\w, ]+))?")
_TRADE = re.compile(r"trade (long|short) (\S+): (.+)")
_FIELDS = {"id": "fill_id", "order": "order_id", "client": "client_order_id"}
_PRICES = {"decision_px", "arrival_px", "mid_px", "start_position", "venue_pnl"}


@dataclass
class Source:
    """One import: the reader class, its rank, and what it promises to hold in full."""

    name: str
    rank: int
    reader: str
    components: tuple[Component, ...]
    claims: list[Claim] = field(default_factory=list)

    def coverage(self) -> tuple[Coverage, ...]:
        """Return the promise: each component over the whole time of the case."""
        return tuple(
            Coverage(component=component, from_ns=FIRST_DAY_NS, until_ns=LAST_NS)
            for component in self.components
        )


@dataclass(frozen=True)
class WantedFill:
    """What must be true right after one fill of the case; None = not asked.

    A fill that is `gone` must not be in the book: evidence, reversed or retracted.
    """

    ts_ns: int
    side: str
    qty: Decimal
    position: str | None
    realised: str | None
    gone: bool = False


@dataclass(frozen=True)
class WantedTrade:
    """One line `trade SIDE QTY: …`; `figures` by name, `words` such as win or unpriced."""

    side: str
    qty: str
    figures: dict[str, str]
    words: tuple[str, ...]


@dataclass
class Scenario:
    """One parsed case."""

    title: str
    method: str = "average"
    contract: str = "linear"
    symbol: str = ""
    settle: str = ""
    sources: list[Source] = field(default_factory=list)
    retracted: list[str] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    fills: list[WantedFill] = field(default_factory=list)
    expected: dict[str, str] = field(default_factory=dict)
    trades: list[WantedTrade] = field(default_factory=list)
    findings: set[str] = field(default_factory=set)
    _keys: dict[str, str] = field(default_factory=dict)

    def add(self, fact: AnyFact, key: str) -> None:
        """Put a claim into the current source, counting its twins and its row."""
        claims = self.sources[-1].claims
        twins = sum(claim.key == key for claim in claims)
        row = sum(
            isinstance(claim.fact, Fill) and claim.fact.ts_ns == fact.ts_ns for claim in claims
        )
        claims.append(Claim(fact=fact, key=key, ordinal=twins, row=row))


def read_scenario(path: Path) -> Scenario:
    """Parse one file; raise ValueError naming the line that is not understood."""
    title, *lines = path.read_text().splitlines()
    case = Scenario(title)
    case.sources.append(Source("first", 2, "table", ("fills", "funding", "charges")))
    for number, line in enumerate(lines, start=2):
        text = line.strip()
        if text and not text.startswith("#"):
            try:
                _read_line(case, text)
            except (ValueError, KeyError, AttributeError, AssertionError) as fault:
                raise ValueError(f"{path.name}:{number}: {text!r}: {fault}") from fault
    return case


def _read_line(case: Scenario, text: str) -> None:
    event = _EVENT.fullmatch(text)
    if event:
        clock = event["clock"] if event["clock"].count(":") == 2 else f"{event['clock']}:00"
        day_ns = FIRST_DAY_NS + (int(event["day"] or 1) - 1) * DAY_NS
        ts_ns = day_ns + parse_ns(f"1970-01-01T{clock}Z")
        happened, _, wanted = event["rest"].partition("->")
        _read_event(case, ts_ns, happened.strip(), wanted.strip())
        return
    word, _, rest = text.partition(" ")
    source = _SOURCE.fullmatch(text)
    if word == "instrument":
        _read_instrument(case, rest)
    elif word == "method":
        case.method = rest
    elif source:
        components = source[4] or "fills, funding, charges"
        case.sources.append(
            Source(source[1], int(source[2]), source[3] or source[1], _components(components))
        )
    elif word == "retract":
        case.retracted.append(rest)
    elif word == "trade":
        case.trades.append(_trade(text))
    elif word == "finding":
        case.findings.add(rest)
    else:
        name, _, value = text.partition(" = ")
        assert value, "neither an event nor an expectation"
        case.expected[name.strip()] = value.strip()


def _components(text: str) -> tuple[Component, ...]:
    named = [part.strip() for part in text.split(",")]
    found: list[Component] = []
    for component in ("fills", "funding", "charges"):
        if component in named:
            named.remove(component)
            found.append(component)  # type: ignore[arg-type]
    assert named in ([], ["nothing"]), f"unknown component {named}"
    return tuple(found)


def _read_instrument(case: Scenario, text: str) -> None:
    symbol, contract, settle, *more = text.split()
    multiplier = Decimal(more[1]) if more and more[0] == "x" else Decimal(1)
    base = symbol.split("/")[0].removesuffix(settle)
    case.symbol, case.settle, case.contract = symbol, settle, contract
    case.add(
        Instrument(
            venue=VENUE,
            account="",
            ts_ns=0,
            symbol=symbol,
            contract=contract,  # type: ignore[arg-type]
            base=base,
            quote="USD" if contract == "inverse" else settle,
            settle=settle,
            multiplier=multiplier,
        ),
        f"instrument|{symbol}",
    )


def _read_event(case: Scenario, ts_ns: int, happened: str, wanted: str) -> None:
    word, _, rest = happened.partition(" ")
    rest = rest.strip()
    named = dict(part.split("=") for part in rest.split() if "=" in part)
    words = [part for part in rest.split() if "=" not in part]
    if word in ("buy", "sell", "observed"):
        fill, key = _fill(case, ts_ns, rest if word == "observed" else happened)
        if word == "observed":
            # The venue says what is left; nobody told of a fill, or of its fee.
            fill = msgspec.structs.replace(
                fill, approximate=True, reduce_only=True, venue_seq=1, fee=None, fee_asset=None
            )
        case.add(fill, key)
        want = _WANTED.fullmatch(wanted)
        assert want, f"not an expectation: {wanted}"
        case.fills.append(
            WantedFill(
                ts_ns,
                fill.side,
                Decimal(named.get("took", fill.qty)),
                want["position"],
                want["realised"],
                bool(want["gone"]),
            )
        )
    elif word == "funding":
        funding = Funding(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=ts_ns,
            instrument=case.symbol,
            amount=Decimal(words[0]),
            asset=case.settle,
            strategy=named.get("strategy"),
        )
        case.add(funding, key_of(ts_ns, "funding", case.symbol, named.get("strategy")))
    elif word == "charge":
        charge = Charge(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=ts_ns,
            instrument=case.symbol,
            amount=Decimal(words[0]),
            asset=words[1],
            what=named.get("what", "charge"),
        )
        case.add(charge, key_of(ts_ns, "charge", words[0]))
    elif word == "stated":
        _state(case, ts_ns, Decimal(rest))
    elif word == "mark":
        case.marks.append(Mark(VENUE, case.symbol, ts_ns, Decimal(rest)))
    elif word == "rate":
        case.marks.append(Mark(VENUE, words[0], ts_ns, Decimal(words[1]), "rate"))
    elif word == "decision":
        case.add(_decision(case, ts_ns, words, named), key_of(ts_ns, "decision", words[0]))
    elif word == "assign":
        case.add(
            Assignment(
                venue=VENUE,
                account=ACCOUNT,
                ts_ns=ts_ns,
                strategy=named["strategy"],
                order_id=named.get("order"),
                fill_id=named.get("id"),
            ),
            key_of(ts_ns, "assign", named.get("order"), named.get("id")),
        )
    elif word == "order":
        case.add(
            _order(case, ts_ns, words, named),
            key_of(ts_ns, "order", words[0], named.get("order"), named.get("client")),
        )
    elif word in ("reverse", "replace"):
        _correct(case, ts_ns, word, rest)
    else:
        raise ValueError(f"unknown event {word}")


def _state(case: Scenario, ts_ns: int, qty: Decimal) -> None:
    terms = {"venue": VENUE, "account": ACCOUNT, "ts_ns": ts_ns}
    held = (Held(instrument=case.symbol, qty=qty),) if qty else ()
    listed = (case.symbol,)
    whole = Report(**terms, what="snapshot", held=held, listed=listed, printed_ns=60 * 10**9)  # type: ignore[arg-type]
    case.add(whole, key_of(ts_ns, "snapshot"))
    if qty:
        row = Report(**terms, what="position", instrument=case.symbol, qty=qty)  # type: ignore[arg-type]
        case.add(row, key_of(ts_ns, "position", case.symbol))


def _correct(case: Scenario, ts_ns: int, word: str, rest: str) -> None:
    target, _, instead = rest.partition(" with ")
    replacement = _fill(case, ts_ns, instead)[0] if word == "replace" else None
    case.add(
        Correction(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=ts_ns,
            target_key=case._keys[target],
            action="replace" if replacement else "reverse",
            replacement=replacement,
        ),
        key_of(ts_ns, word, target),
    )


def _order(case: Scenario, ts_ns: int, words: list[str], named: dict[str, str]) -> OrderUpdate:
    assert set(named) <= {"order", "client", "side", "px", "strategy", "reason", "instrument"}
    return OrderUpdate(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=ts_ns,
        instrument=named.get("instrument", case.symbol),
        status="placed",
        side=named.get("side"),  # type: ignore[arg-type]
        order_type=words[0],
        order_id=named.get("order"),
        client_order_id=named.get("client"),
        px=Decimal(named["px"]) if "px" in named else None,
        strategy=named.get("strategy"),
        reason=named.get("reason"),
        reduce_only="reduce-only" in words,
    )


def _decision(case: Scenario, ts_ns: int, words: list[str], named: dict[str, str]) -> Decision:
    prices = {name: Decimal(named[name]) for name in named if name in _PRICES}
    assert words[1] in ("buy", "sell")
    return Decision(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=ts_ns,
        decision_id=words[0],
        instrument=case.symbol,
        action=words[1],  # type: ignore[arg-type]
        strategy=named.get("strategy"),
        order_id=named.get("order"),
        **prices,  # type: ignore[arg-type]
    )


def _fill(case: Scenario, ts_ns: int, text: str) -> tuple[Fill, str]:
    row = _FILL.fullmatch(text)
    assert row, "not a fill"
    named = dict(part.split("=") for part in row["more"].split())
    told: dict[str, object] = {}
    for name, value in named.items():
        if name in _PRICES or name in ("start", "left"):
            told["start_position" if name in ("start", "left") else name] = Decimal(value)
        elif name == "seq":
            told["venue_seq"] = int(value)
        elif name == "side":
            told["position_side"] = value
        elif name == "took":
            assert text.count("left="), "only an observed close takes less than it says"
        elif name == "dust":
            told["dust"] = value == "yes"
        else:
            assert name in {*_FIELDS, "strategy", "leg", "liquidity", "cause"}, f"unknown {name}"
            told[_FIELDS.get(name, name)] = value
    fee_known = row["fee"] is not None or " fee " not in text
    fill = Fill(
        venue=VENUE,
        account=ACCOUNT,
        ts_ns=ts_ns,
        instrument=case.symbol,
        side=row["side"],  # type: ignore[arg-type]
        px=Decimal(row["px"]),
        qty=Decimal(row["qty"]),
        fee=Decimal(row["fee"] or 0) if fee_known else None,
        fee_asset=row["asset"] or (case.settle if fee_known else None),
        **told,  # type: ignore[arg-type]
    )
    if fill.fill_id is None:
        key = printed_key(str(ts_ns), case.symbol, fill.side, fill.px, fill.qty)
    else:
        key = key_of(ts_ns, case.symbol, fill.fill_id)
        case._keys[fill.fill_id] = key
    return fill, key


def _trade(text: str) -> WantedTrade:
    row = _TRADE.fullmatch(text)
    assert row, "not a trade"
    figures: dict[str, str] = {}
    words: list[str] = []
    for part in row[3].split(", "):
        name, _, value = part.partition(" ")
        if value:
            figures[name] = value
        else:
            words.append(name)
    return WantedTrade(row[1], row[2], figures, tuple(words))
