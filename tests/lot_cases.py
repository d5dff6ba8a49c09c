"""Reads the worked lot examples of two accounting programs from the corpus, at test time.

beancount: docstrings of its booking tests, each with blocks tagged #ante (what is held), #apply
(the sale), #booked (the lots it takes) and #ex (what remains). hledger: a journal between `<` and
`$`, a command, and what it prints. Only the few forms these files use are understood, and whatever
is not understood raises: a case is run, or it is counted as out of reach by name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path


@dataclass(frozen=True)
class Lot:
    """A quantity held at a cost since a day; `cost` None where the program prints none."""

    day: str
    qty: Decimal
    cost: Decimal | None


@dataclass(frozen=True)
class Move:
    """One purchase (qty > 0, px = cost) or sale (qty < 0, px = price) on a day."""

    day: str
    qty: Decimal
    px: Decimal


@dataclass
class LotCase:
    """What is done to one holding, and what the other program says must come out of it.

    `gains` has one entry per sale; None where the example names neither gain nor price.
    `taken` are the lots that the (only) sale must consume, where the example lists them.
    `remaining` is None where the example prints no holding.
    """

    name: str
    method: str
    moves: list[Move] = field(default_factory=list)
    gains: list[Decimal | None] = field(default_factory=list)
    taken: list[Lot] | None = None
    remaining: list[Lot] | None = None
    costless: bool = False


# --- beancount -----------------------------------------------------------------------------

_POSTING = re.compile(
    r"\s+(?:[SM] )?Assets:Account\s+(-?\d+) HOOL"
    r"(?: \{(?:(?P<cost>[\d.]+) )?(?:USD)?(?:, )?(?P<day>\d{4}-\d\d-\d\d)?\})?"
    r"(?: @ (?P<price>[\d.]+) USD)?"
)


def beancount_cases(path: Path) -> tuple[list[LotCase], int]:
    """Return the active FIFO and LIFO cases, and how many AVERAGE cases are disabled upstream."""
    active, disabled = [], 0
    for entry in json.loads(path.read_text()):
        methods = {"FIFO", "LIFO", "AVERAGE"} & set(entry["booking"])
        if not methods:
            continue
        if entry["class"].startswith("_"):
            disabled += 1
            continue
        (method,) = methods
        active.append(_beancount_case(entry["test"], method, entry["text"]))
    return active, disabled


def _beancount_case(name: str, method: str, text: str) -> LotCase:
    blocks: dict[str, list[str]] = {}
    rows: list[str] = []
    for line in text.splitlines():
        header = re.match(r"\d{4}-\d\d-\d\d \* (.*)", line)
        if header:
            rows = []
            for tag in header[1].split():
                blocks[tag] = rows
        elif line.strip():
            rows.append(line)
    held = [_beancount_lot(row) for row in blocks["#ante"]]
    sold = [_beancount_lot(row) for row in blocks["#apply"]]
    assert len(sold) == 1, f"{name}: more than one sale"
    if 'error: "No position matches"' in "".join(blocks["#booked"]):
        # Units without a cost: there is no lot that a sale could match.
        assert [lot.cost for lot in held] == [None]
        moves = [Move("2016-01-01", held[0].qty, Decimal(0)), _sale("2016-05-02", sold[0].qty)]
        return LotCase(name, method, moves, [None], taken=[], costless=True)
    buys = [Move(lot.day, lot.qty, _known(lot.cost)) for lot in sorted(held, key=lambda b: b.day)]
    sales = [_sale("2015-12-31", lot.qty) for lot in sold if lot.qty]
    taken = [_beancount_lot(row) for row in blocks["#booked"]]
    gain = sum((-lot.qty * (_SOLD_AT - _known(lot.cost)) for lot in taken), Decimal(0))
    return LotCase(
        name,
        method,
        buys + sales,
        [gain] if sales else [],
        taken=[Lot(lot.day, -lot.qty, lot.cost) for lot in taken],
        remaining=[_beancount_lot(row) for row in blocks["#ex"]],
    )


_SOLD_AT = Decimal("130.07")  # the examples name no selling price; any shows which lots went


def _sale(day: str, qty: Decimal) -> Move:
    assert qty <= 0
    return Move(day, qty, _SOLD_AT)


def _known(cost: Decimal | None) -> Decimal:
    assert cost is not None
    return cost


def _beancount_lot(row: str) -> Lot:
    match = _POSTING.fullmatch(row)
    if not match:
        raise ValueError(f"a posting that this reader does not know: {row!r}")
    cost = match["cost"]
    return Lot(match["day"] or "", Decimal(match[1]), Decimal(cost) if cost else None)


# --- hledger -------------------------------------------------------------------------------

_DIRECTIVE = re.compile(r"(commodity|account) (\S+) +; lots: *(\w*)")
_SECURITY = re.compile(
    r"\s+(?P<account>[\w:]+)\s+(?P<qty>-?\d+) (?P<coin>[A-Z]+)"
    r"(?: \{(?P<cost>[^}]*)\})?(?: @ \$(?P<price>\d+))?"
)
_MONEY = re.compile(r"\s+(?P<account>[\w:-]+)(?:\s+\$(?P<amount>-?\d+))?")
_BALANCE = re.compile(
    r"\s+(?P<qty>\d+) [A-Z]+  (?P<account>[\w:]+):\{(?P<day>[\d-]+)(?P<cost>.*)\}"
)
_GAIN = re.compile(r"\s+revenues:gain\s+\$(-?\d+)")


def hledger_cases(path: Path) -> tuple[list[LotCase], Counter[str]]:
    """Return one case per account of every translatable test, and the others counted by reason.

    Out of reach are methods we do not have (HIFO, the *ALL pools across accounts), transfers of
    lots between accounts, and the tests of error messages: selling more than is held is no error
    for a book that can be short.
    """
    cases: list[LotCase] = []
    left_out: Counter[str] = Counter()
    tests = re.split(r"^# \*\* ", path.read_text(), flags=re.MULTILINE)[1:]
    for test in tests:
        title, _, body = test.partition("\n")
        comment, _, example = body.rpartition("<\n")
        assert all(line.startswith("#") for line in comment.splitlines())
        journal, _, printed = example.partition("\n$ ")
        reason = _out_of_reach(journal, printed)
        if reason:
            left_out[reason] += 1
        else:
            cases += _hledger_test(title, journal, printed)
    left_out["run"] = len(tests) - left_out.total()
    return cases, left_out


def _transactions(journal: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in journal.splitlines():
        if re.match(r"\d{4}-\d\d-\d\d ", line):
            found.append((line[:10], []))
        elif line.startswith("    "):
            found[-1][1].append(line)
        elif line.strip() and not _DIRECTIVE.fullmatch(line):
            raise ValueError(f"a directive that this reader does not know: {line!r}")
    return found


def _out_of_reach(journal: str, printed: str) -> str | None:
    methods = {found[2] for found in _DIRECTIVE.findall(journal)}
    if ">=1" in printed:
        return "an error message"
    if any(method.endswith("ALL") for method in methods):
        return "one pool over accounts"
    if "HIFO" in methods:
        return "HIFO"
    for _, postings in _transactions(journal):
        if sum(bool(_SECURITY.fullmatch(row)) for row in postings) > 1:
            return "a transfer of lots"
    return None


def _hledger_test(title: str, journal: str, printed: str) -> list[LotCase]:
    directives = _DIRECTIVE.findall(journal)
    by_name = {name: method or "FIFO" for _, name, method in directives}
    accounts: dict[str, LotCase] = {}
    for day, postings in _transactions(journal):
        (row,) = [row for row in map(_SECURITY.fullmatch, postings) if row]
        account = row["account"]
        case = accounts.setdefault(
            account,
            LotCase(f"{title} [{account}]", by_name.get(account) or by_name[row["coin"]]),
        )
        qty = Decimal(row["qty"])
        px = Decimal(row["price"] if qty < 0 else row["cost"].lstrip("$"))
        case.moves.append(Move(day, qty, px))
        if qty < 0:
            case.gains.append(_stated_gain(postings))
    _read_printed(accounts, printed)
    return list(accounts.values())


def _stated_gain(postings: list[str]) -> Decimal:
    """Return the gain that the journal itself posts; a balanced sale without one gained nothing."""
    amounts = {row["account"]: row["amount"] for row in map(_MONEY.fullmatch, postings) if row}
    return -Decimal(amounts.get("revenue:gains", "0"))


def _read_printed(accounts: dict[str, LotCase], printed: str) -> None:
    command, _, output = printed.partition("\n")
    if " bal " in command:
        for row in output.splitlines():
            lot = _BALANCE.fullmatch(row)
            if not lot:
                continue
            case = accounts[lot["account"]]
            cost = re.fullmatch(r", \$(\d+)", lot["cost"])
            held = Lot(lot["day"], Decimal(lot["qty"]), Decimal(cost[1]) if cost else None)
            case.remaining = [*(case.remaining or []), held]
        for case in accounts.values():
            case.remaining = case.remaining or []
        return
    assert " print " in command
    # A print shows the gain that was worked out for each sale, in the journal's order.
    (case,) = accounts.values()
    case.gains = [-Decimal(gain) for gain in _GAIN.findall(output)]
