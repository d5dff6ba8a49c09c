"""Our numbers against the venue's own, and what the sources leave uncovered.

A venue's figure is evidence, never a source. A difference is a finding with its amount; where the
venue's figure would change the sign of net, nobody may say that money was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from fillbook.facts.finding import Finding
from fillbook.ground.clock import HOUR_NS, iso
from fillbook.ground.exact import MONEY_ONE, divide_half_even, money_text
from fillbook.ledger import layout
from fillbook.ledger.amounts import to_ints
from fillbook.ledger.columns import VENUE_PNL, VENUE_PNL_NET
from fillbook.ledger.fold import FoldResult
from fillbook.ledger.group import GroupLedger, as_one_book, folded_on
from fillbook.ledger.ledger import Ledger
from fillbook.resolve.event import SourceCoverage

# What a venue's rounding explains: 0.1 % of its figure and a cent a row.
SHARE = 1000
PER_ROW = int(Decimal("0.0105") * MONEY_ONE)

# Hours between funding settlements, by venue; other venues are not known to charge funding.
FUNDING_EVERY_NS = {"hyperliquid": HOUR_NS, "binance": 8 * HOUR_NS, "coinbase": HOUR_NS}
# A source of fills may be further than that of funding, for a while.
_GRACE_NS = HOUR_NS
# Coinbase's perpetuals are named so; its other contracts are dated and pay no funding.
_COINBASE_PERPETUAL = ("-INTX", "-20DEC30-CDE")


@dataclass(frozen=True)
class VenueDifference:
    """Realised PnL of one group by us and by the venue on the same fee basis, grid units."""

    group: GroupLedger
    ours: int
    theirs: int
    n_rows: int
    seqs: tuple[int, ...]

    @property
    def gap(self) -> int:
        """Return ours less the venue's."""
        return self.ours - self.theirs

    @property
    def beyond_rounding(self) -> bool:
        """Say whether the gap is more than rounding explains."""
        return abs(self.gap) > abs(self.theirs) // SHARE + PER_ROW * self.n_rows


@dataclass(frozen=True)
class VenueRows:
    """The rows whose realised PnL the venue prints: by us and by the venue, on its fee basis.

    `base_fees` comes off the sum of ours: a spot venue keeps the fee in coins in its cost.
    """

    rows: npt.NDArray[np.int64]
    ours: list[int]
    theirs: list[int]
    base_fees: int


def compare_rows(group: GroupLedger, first: int, last: int) -> VenueRows | None:
    """Compare the rows [first, last) of a group; None where the venue printed nothing.

    Trades that hold quantity of unknown cost are left out on both sides: the venue averages what
    we cannot. Venues show average cost, whatever method the book folds with.
    """
    columns, traits, n = group.columns, group.columns.traits, len(group.columns)
    venue = group.venue if group.method == "average" else _averaged(group)
    flows = venue.outputs
    unpriced = np.append((venue.trades["flags"] & layout.TRADE_UNPRICED) != 0, False)
    touched = unpriced[flows.trade_close[:n]] | unpriced[flows.trade_open[:n]]
    told = np.flatnonzero(((traits & VENUE_PNL) != 0) & ~touched)
    rows = told[(told >= first) & (told < last)]
    if not len(rows):
        return None
    realised = to_ints(np.ascontiguousarray(flows.realised[rows, 3]))
    fees = to_ints(columns.events.fee[rows])
    net = (traits[rows] & VENUE_PNL_NET) != 0
    ours = [r - (fee if is_net else 0) for r, fee, is_net in zip(realised, fees, net, strict=True)]
    is_spot = columns.contract.contract == "spot"
    base_fees = _closed_base_fees(group, rows, net) if is_spot else 0
    return VenueRows(rows, ours, to_ints(columns.venue_pnl[rows]), base_fees)


def _averaged(group: GroupLedger) -> FoldResult:
    columns = as_one_book(group.columns)
    return folded_on(columns, columns.events, "average", None, 0)


def compare_with_venue(group: GroupLedger) -> VenueDifference | None:
    """Compare a group's realised PnL with what the venue printed; None where it printed nothing."""
    told = compare_rows(group, 0, len(group))
    if told is None:
        return None
    return VenueDifference(
        group,
        sum(told.ours) - told.base_fees,
        sum(told.theirs),
        len(told.rows),
        tuple(group.columns.seq[told.rows][:20].tolist()),
    )


def _closed_base_fees(group: GroupLedger, rows: np.ndarray, net: np.ndarray) -> int:
    """Return the share of base fees that the closes consumed, where the venue counts gross."""
    columns = group.columns
    bought = (columns.events.qty > 0) & (columns.events.kind == layout.FILL)
    based = bought & (columns.events.qty != columns.traded_qty)
    gross_rows = np.zeros(len(columns), dtype=bool)
    gross_rows[rows[~net]] = True
    fees = sum(to_ints(columns.events.fee[based & gross_rows]))
    total_bought = int(columns.events.qty[bought].sum())
    closed = int(group.venue.outputs.closed_qty[rows].sum())
    return divide_half_even(fees * min(closed, total_bought), total_bought) if total_bought else 0


def venue_findings(ledger: Ledger) -> tuple[list[Finding], dict[tuple[str, str], int]]:
    """Return findings for every group whose realised PnL differs from the venue's, and the sum
    of the gaps per (account, currency)."""
    findings: list[Finding] = []
    gaps: dict[tuple[str, str], int] = {}
    for group in ledger.groups:
        told = compare_with_venue(group)
        if told is None or not told.beyond_rounding:
            continue
        key, currency = group.columns.key, group.columns.contract.settle
        gaps[key.account, currency] = gaps.get((key.account, currency), 0) + told.gap
        findings.append(
            Finding(
                code="venue-disagrees",
                severity="error",
                message=f"realised PnL of {key.instrument} is {money_text(told.ours)} by its "
                f"fills, {money_text(told.theirs)} by the venue",
                next_step="import the fills, deposits or withdrawals that are missing here",
                venue=key.venue,
                account=key.account,
                instrument=key.instrument,
                amount=money_text(told.gap),
                currency=currency,
                seqs=told.seqs,
                touches=("realized", "net"),
            )
        )
    return findings, gaps


def recorded_findings(group: GroupLedger) -> list[Finding]:
    """Return a finding per recorded round trip whose printed PnL its own prices contradict."""
    columns = group.columns
    findings = []
    closing = (columns.traits & VENUE_PNL) != 0
    outputs = group.books.outputs
    for row in np.flatnonzero(closing & (outputs.trade_close[: len(columns)] >= 0)).tolist():
        if "\x1f" not in columns.books[int(columns.events.book[row])]:
            continue
        trade = group.books.trades[int(outputs.trade_close[row])]
        fees = to_ints(np.ascontiguousarray(trade["fees"])[None])[0]
        gross = to_ints(np.ascontiguousarray(trade["realised"][3])[None])[0]
        printed = to_ints(columns.venue_pnl[row : row + 1])[0]
        nearest = min((gross, gross - fees), key=lambda ours: abs(ours - printed))
        if abs(nearest - printed) <= abs(printed) // SHARE + MONEY_ONE // 10**8:
            continue
        findings.append(
            Finding(
                code="recorded-pnl-differs",
                severity="warning",
                message=f"the file says a PnL of {money_text(printed)} for a trade whose prices "
                f"and quantity give {money_text(gross)}; the prices hold",
                next_step="check the row; a multiplier or a fee may be missing",
                venue=columns.key.venue,
                account=columns.key.account,
                instrument=columns.key.instrument,
                ts_ns=int(columns.ts_ns[row]),
                amount=money_text(gross - printed),
                currency=columns.contract.settle,
                seqs=(int(columns.seq[row]),),
            )
        )
    return findings


def funding_findings(ledger: Ledger) -> list[Finding]:
    """Return a finding per derivative group that was open at settlements no source covers."""
    findings = []
    for group in ledger.groups:
        columns = group.columns
        every = FUNDING_EVERY_NS.get(columns.key.venue)
        if every is None or not _pays_funding(group) or columns.without_times:
            continue
        missing = _uncovered(group, every, ledger.coverage)
        if not missing:
            continue
        findings.append(
            Finding(
                code="funding-uncovered",
                severity="warning",
                message=f"{columns.key.instrument} was open at {_settlements(missing)} "
                "that no source covers",
                next_step="import the account's funding payments for that period",
                venue=columns.key.venue,
                account=columns.key.account,
                instrument=columns.key.instrument,
                ts_ns=missing[0],
                touches=("funding", "net", "made_money"),
            )
        )
    return findings


def _settlements(at_ns: list[int]) -> str:
    """Count settlements, and say when they were.

    >>> _settlements([0])
    '1 funding settlement (1970-01-01T00:00:00Z)'
    """
    if len(at_ns) == 1:
        return f"1 funding settlement ({iso(at_ns[0])})"
    return f"{len(at_ns)} funding settlements ({iso(at_ns[0])} to {iso(at_ns[-1])})"


def _pays_funding(group: GroupLedger) -> bool:
    key = group.columns.key
    if key.venue == "coinbase" and not key.instrument.endswith(_COINBASE_PERPETUAL):
        return False
    return group.columns.contract.contract != "spot"


def _fills_until(group: GroupLedger, coverage: Sequence[SourceCoverage]) -> int:
    key = group.columns.key
    return max(
        (
            each.coverage.until_ns
            for each in coverage
            if each.coverage.component == "fills"
            and (each.venue, each.account) == (key.venue, key.account)
            and each.coverage.instrument in (None, key.instrument)
        ),
        default=0,
    )


def _uncovered(group: GroupLedger, every: int, coverage: Sequence[SourceCoverage]) -> list[int]:
    key, ts_ns = group.columns.key, group.columns.ts_ns
    spans = [
        (each.coverage.from_ns, each.coverage.until_ns)
        for each in coverage
        if each.coverage.component == "funding"
        and (each.venue, each.account) == (key.venue, key.account)
        and each.coverage.instrument in (None, key.instrument)
    ]
    held = group.venue.outputs.position_after[: len(ts_ns)]
    # What is open at the end is known to be open for as long as fills are covered.
    end_ns = _fills_until(group, coverage) - _GRACE_NS
    missing: list[int] = []
    for row in np.flatnonzero(np.abs(held) >= group.columns.terms.dust).tolist():
        first = int(ts_ns[row]) + (-int(ts_ns[row])) % every
        until_ns = int(ts_ns[row + 1]) if row + 1 < len(ts_ns) else end_ns
        for instant in range(first, until_ns, every):
            if not any(since <= instant < until for since, until in spans):
                missing.append(instant)
    return missing
