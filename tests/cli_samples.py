"""Answers made by hand, for looking at how they are shown: no book stands behind them."""

from __future__ import annotations

from typing import Any

import msgspec

from fillbook.analysis.answers import (
    CostRow,
    CoverageAnswer,
    CurrencyTotals,
    Expectancy,
    FillRow,
    Ladder,
    Performance,
    PositionRow,
    Reason,
    SourceSpan,
    TradeRow,
    Why,
    WhySlice,
    Window,
)
from fillbook.analysis.reconcile.answer import Check as Compared
from fillbook.analysis.reconcile.answer import NearFill, Reconciliation
from fillbook.cli.shapes import Examination
from fillbook.facts.finding import Finding
from fillbook.ground.checks import Check
from fillbook.sources.files.importing import FileReport, ImportReport
from fillbook.sources.source import Rejected

ACCOUNT = "0x31ca8395cf837de08b24da3f660e77761dfb974b"


def ladder(**lines: str) -> Ladder:
    """Return a ladder; lines that are not named are 0."""
    return Ladder(**{name: lines.get(name, "0") for name in Ladder.__struct_fields__})


def expectancy(n: int = 34, unit: str = "USDC per trade") -> Expectancy:
    """Return an expectancy that is too wide to say anything."""
    return Expectancy(mean=6.1043, low=-14.2, high=26.4, n=n, unit=unit)


USDC = CurrencyTotals(
    currency="USDC",
    gross="12846.115023",
    fees="1394.870000000000000001",
    funding="-120.5",
    net="11330.745022999999999999",
    realized="12000.115023",
    unrealized="846",
    ladder=ladder(
        signal="15000.37",
        delay="810.03",
        drift="-120.4",
        spread="1464.624977",
        fees="1394.870000000000000001",
        funding="-120.5",
    ),
    expectancy=expectancy(),
    bound="exact",
)

BTC_UNKNOWN_FEES = CurrencyTotals(
    currency="BTC",
    gross="-0.000144298",
    fees=None,
    funding="0",
    net=None,
    realized="-0.000144298",
    unrealized=None,
    ladder=ladder(signal_unpriced="-0.000144298"),
    expectancy=Expectancy(mean=None, low=None, high=None, n=0, unit="BTC per trade"),
    bound="incomplete",
)

EXAMINED = Examination(
    at="2026-11-20T03:00:00Z",
    book="fillbook.db",
    status="fail",
    checks=(
        Check(
            area="key",
            state="fail",
            what="the binance key …abcd may enableFutures; it is refused",
            next_step="On Binance open Profile > API Management and create a key of its own for "
            "Fillbook. Under API restrictions leave only `Enable Reading` ticked, and untick "
            "everything else.",
            about="hedge",
        ),
        Check(
            area="disk",
            state="warn",
            what="4.1 GB free; the book has 1.2 GB and grows by 210.0 MB a day with its marks: "
            "room for 19 days",
            next_step="make room, or move the book to a larger disk",
            about="/srv/books",
        ),
        Check(area="venue", state="not checked", what="not asked, because of --offline"),
        Check(area="clock", state="ok", what="this machine's clock agrees with binance's"),
    ),
)

FINDINGS = (
    Finding(
        code="fee-unknown",
        severity="warning",
        message="12 fills name no fee",
        next_step="import the account's API fills over the same days",
        instrument="ETH/BTC",
        ts_ns=1_743_674_936_000_000_000,
        touches=("net", "fees"),
    ),
    Finding(
        code="venue-disagrees",
        severity="error",
        message="the venue's realised PnL differs: ours +258.88, the venue's -20.34",
        next_step="look for transfers in and out between the two fills",
        account=ACCOUNT,
        instrument="HYPE/USDC",
        amount="279.22",
        currency="USDC",
        seqs=(2, 3),
    ),
)


def why(**changed: Any) -> Why:
    """Return a complete answer in one currency; `changed` replaces fields."""
    answer = Why(
        made_money="yes",
        edge="not yet knowable",
        reasons=(
            Reason(line="signal", amount="15000.37", currency="USDC", share=0.7943, fills=812),
            Reason(line="spread", amount="-1464.624977", currency="USDC", share=0.0776, fills=790),
            Reason(line="fees", amount="-1394.87", currency="USDC", share=0.0739, fills=841),
        ),
        seq=1846,
        head="9f2c1e77aa01b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c",
        window=Window(since=None, until=None),
        basis="average cost, mark to market",
        trade_definition="flat to flat",
        n_fills=841,
        n_trades=34,
        n_unpriced=0,
        currencies={"USDC": USDC},
        expectancy=expectancy(),
        coverage=CoverageAnswer(
            decision_px_ratio=0.97,
            arrival_px_ratio=0.93,
            mid_px_ratio=None,
            fee_ratio=1.0,
            first_event="2025-03-04T10:08:56Z",
            last_event="2025-06-01T00:00:00.5Z",
            sources=(
                SourceSpan(
                    source="hyperliquid-web",
                    account=ACCOUNT,
                    component="fills",
                    instrument=None,
                    since="2025-03-04T10:08:56Z",
                    until="2025-06-01T00:00:00Z",
                ),
            ),
        ),
        findings=(),
    )
    return msgspec.structs.replace(answer, **changed)


def two_currencies() -> Why:
    """Return an incomplete answer over two currencies, sliced, with findings."""
    both = {"USDC": USDC, "BTC": BTC_UNKNOWN_FEES}
    return why(
        made_money="incomplete",
        n_unpriced=2,
        currencies=both,
        findings=FINDINGS,
        by=(
            WhySlice(
                dimension="strategy",
                value="market-maker",
                n_fills=800,
                n_trades=30,
                currencies={"USDC": USDC},
            ),
            WhySlice(dimension="strategy", value="-", n_fills=41, n_trades=4, currencies=both),
        ),
    )


def fill(**changed: Any) -> FillRow:
    """Return one fill; `changed` replaces fields."""
    row = FillRow(
        seq=12,
        fill_id="118906512345678",
        order_id="98765",
        ts="2025-04-03T10:08:56.123Z",
        account=ACCOUNT,
        venue="hyperliquid",
        instrument="BTC",
        side="buy",
        px="84123.5",
        qty="0.0125",
        fee="0.473194687500000000",
        fee_asset="USDC",
        liquidity="taker",
        position_after="0.0125",
        realized=None,
        currency="USDC",
        strategy="trend",
        position_side="net",
        venue_pnl=None,
    )
    return msgspec.structs.replace(row, **changed)


FILLS = (
    fill(),
    fill(
        ts="2025-04-03T11:00:01Z",
        side="sell",
        px="1084999",
        qty="12500.02",
        realized="12512345.678901",
        position_after="0",
        fee="-1.25",
        liquidity="maker",
    ),
    fill(
        ts="2025-04-03T11:00:02Z",
        instrument="PEPE",
        px="0.00000731",
        qty="1000000",
        fee=None,
        fee_asset=None,
        realized="-0.0000004",
        position_after="1000000",
        strategy="-",
        fill_id=None,
    ),
)


def trade(**changed: Any) -> TradeRow:
    """Return one closed trade; `changed` replaces fields."""
    row = TradeRow(
        trade_id="t-1",
        seq=12,
        account=ACCOUNT,
        venue="hyperliquid",
        product_id="BTC",
        side="long",
        entry_time="2025-04-03T10:08:56Z",
        exit_time="2025-04-05T12:38:56Z",
        holding_duration_seconds=181_800.0,
        holding_duration_hours=50.5,
        entry_price="84123.5",
        exit_price="84999",
        position_size="0.0125",
        realized_pnl="10.94375",
        fees="0.9513",
        funding="-0.12",
        net="9.87245",
        currency="USDC",
        outcome="win",
        mfe="14.2",
        mae="-3.01",
        peak_pnl="14.2",
        max_drawdown="3.26",
        path="marks",
        exit_reason=None,
        final_status="completed",
        strategy="trend",
        decision_id=None,
        definition="flat to flat",
        approximate=False,
        fills=2,
        first_fill="118906512345678",
        last_fill="118906512345999",
    )
    return msgspec.structs.replace(row, **changed)


TRADES = (
    trade(),
    trade(
        trade_id="t-2",
        product_id="kPEPE",
        side="short",
        entry_price="0.0084123",
        exit_price="0.0091",
        position_size="1250000",
        realized_pnl="-859.625",
        fees="4.1",
        funding="0",
        net="-863.725",
        outcome="loss",
        approximate=True,
        strategy="maker",
    ),
    trade(
        trade_id="t-3",
        exit_time=None,
        exit_price=None,
        holding_duration_hours=None,
        holding_duration_seconds=None,
        net=None,
        realized_pnl=None,
        outcome="open",
        final_status="open",
        mfe=None,
        mae=None,
    ),
)

POSITIONS = (
    PositionRow(
        account=ACCOUNT,
        venue="hyperliquid",
        instrument="BTC",
        position_side="net",
        strategy=None,
        qty="0.25",
        qty_unpriced="0",
        entry_price="84123.5",
        mark="85000",
        mark_time="2025-05-31T23:59:00Z",
        notional="21250",
        unrealized="219.125",
        currency="USDC",
        opened="2025-05-30T08:00:00Z",
    ),
    PositionRow(
        account="0xother",
        venue="hyperliquid",
        instrument="HYPE/USDC",
        position_side="net",
        strategy="farm",
        qty="-12.5",
        qty_unpriced="2.5",
        entry_price=None,
        mark=None,
        mark_time=None,
        notional=None,
        unrealized=None,
        currency="USDC",
        opened=None,
    ),
)

COSTS = (
    CostRow(
        asset="USDC",
        fees="1394.87",
        fees_maker="-20.13",
        fees_taker="1415",
        fees_unknown_liquidity="0",
        rebates="20.13",
        funding_received="300",
        funding_paid="420.5",
        net_funding="-120.5",
        charges="0",
        total_costs="1515.37",
        n_fills=841,
        n_fee_unknown=0,
        volume="3985342.857142",
        fee_bps=3.5,
        maker_ratio=0.41,
    ),
    CostRow(
        asset="BNB",
        fees="0.01234567",
        fees_maker="0",
        fees_taker="0.01234567",
        fees_unknown_liquidity="0",
        rebates="0",
        funding_received="0",
        funding_paid="0",
        net_funding="0",
        charges="0",
        total_costs="0.01234567",
        n_fills=12,
        n_fee_unknown=0,
        volume=None,
        fee_bps=None,
        maker_ratio=0.0,
    ),
)


def performance(**changed: Any) -> Performance:
    """Return the statistics of one currency; `changed` replaces fields."""
    row = Performance(
        currency="USDC",
        basis="net",
        trade_definition="flat to flat",
        n=34,
        wins=21,
        losses=12,
        breakeven=1,
        n_unpriced=0,
        n_open=2,
        win_rate_ratio=0.617647,
        win_rate_decisive_ratio=0.636363,
        gross_profit="13000.5",
        gross_loss="1669.75",
        net="11330.75",
        expectancy=333.257,
        avg_win=619.07,
        avg_loss=139.15,
        profit_factor=7.7859,
        profit_factor_gross=9.1,
        payoff_ratio=4.449,
        kelly_binary=0.55,
        sqn=2.31,
        best="4000.12",
        worst="-610.4",
        avg_hold_hours=50.5,
        median_hold_hours=3.25,
        max_consecutive_wins=7,
        max_consecutive_losses=3,
        time_in_market_ratio=0.412,
        max_drawdown="812.4",
        max_drawdown_ratio=0.0312,
        max_drawdown_days=9,
        drawdown_recovered=True,
        ratios_basis="daily returns on declared capital",
        sharpe=2.86,
        sortino=4.1,
        omega=1.9,
        calmar=8.8,
        ulcer=0.012,
        cagr=1.04,
        days=89,
        notes=("fewer than 180 days: CAGR and Calmar are not shown",),
    )
    return msgspec.structs.replace(row, **changed)


PERFORMANCE = (
    performance(),
    performance(
        currency="BTC",
        basis="gross, fees unknown",
        losses=0,
        wins=2,
        n=2,
        gross_profit="0.00123",
        gross_loss="0",
        net="0.00123",
        expectancy=0.000615,
        avg_win=0.000615,
        avg_loss=None,
        profit_factor=None,
        best="0.001",
        worst="0.00023",
        max_drawdown=None,
        max_drawdown_ratio=None,
        max_drawdown_days=None,
        sharpe=None,
        days=400,
        notes=(),
    ),
)


IMPORTED = ImportReport(
    dry_run=False,
    seq=1846,
    files=(
        FileReport(
            path="exports/trade_history.csv",
            format="hyperliquid-web",
            venue="hyperliquid",
            account=ACCOUNT,
            batch_id="b-65558168e157",
            rows=843,
            claims=841,
            new=800,
            known=41,
            conflicts=1,
            rejected=2,
            rejections=(
                Rejected("exports/trade_history.csv", 17, "px", "'1O0' is not a number", "a,1O0"),
                Rejected("exports/trade_history.csv", None, None, "the row is cut short", "b"),
            ),
            first="2025-04-03T10:08:56Z",
            last="2026-02-10T00:00:00Z",
        ),
        FileReport(path="exports/notes.csv", skipped="no reader recognises it"),
        FileReport(
            path="exports/old.csv",
            error="the times name no zone",
            where="exports/old.csv:2 field time",
            next_step="say --tz Europe/Berlin",
        ),
    ),
)

RECONCILED = Reconciliation(
    seq=2810,
    head="c40527a9fcf0aa01b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a",
    n_agree=2,
    n_differ=1,
    n_unchecked=2,
    rows=(
        Compared(
            check="position",
            state="differs",
            venue="binance",
            account=ACCOUNT,
            instrument="ETHUSDC",
            position_side="long",
            ours="1.224",
            theirs="1.582",
            difference="-0.358",
            unit="ETH",
            tolerance="0",
            why_tolerance="contracts are exact",
            at="2026-01-03T17:53:00Z",
            n=30,
            what="position by fills against the venue's statement of that instant",
            next_step="fills since 2026-01-03T17:16:00Z, when both agreed, are missing or wrong "
            "here; import an export of that time",
            fills=(
                NearFill(
                    seq=2756,
                    fill_id="3163378033330",
                    ts="2026-01-03T17:40:40Z",
                    side="buy",
                    qty="1.081",
                    px="2448.02",
                ),
            ),
        ),
        Compared(
            check="start position",
            state="not checked",
            venue="binance",
            account=ACCOUNT,
            instrument="ETHUSDC",
            position_side="long",
            missing="its fills do not say what position stood before them",
        ),
        Compared(
            check="fill count",
            state="not checked",
            venue="binance",
            account=ACCOUNT,
            missing="no order says how many fills it had",
        ),
        Compared(
            check="commission",
            state="agrees",
            venue="binance",
            account=ACCOUNT,
            instrument="ETHUSDC",
            ours="140.41838683",
            theirs="140.41838683",
            difference="0",
            unit="USDC",
            tolerance="0",
            at="2026-01-03T17:53:00Z",
            n=187,
        ),
        Compared(
            check="realised",
            state="agrees",
            venue="binance",
            account=ACCOUNT,
            instrument="ETHUSDC",
            position_side="short",
            ours="-30.63989",
            theirs="-30.639889999999999999",
            difference="-0.000000000000000001",
            unit="USDC",
            tolerance="1.0281",
            at="2026-01-03T17:53:00Z",
            n=95,
        ),
    ),
)
