"""Recorded answers of Hyperliquid against what others read in them; no case is left out unsaid.

Every file and every case of the corpus stands in a table here: with its check, or with the reason
why there is nothing of ours in it. A case nobody has listed fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from fillbook.facts.model import Fill, Funding, OrderUpdate, Report, Transfer
from fillbook.sources.files.records import parse_object
from fillbook.sources.hyperliquid.asks import answered
from fillbook.sources.hyperliquid.rows import ApiContext, drafts_of
from fillbook.sources.hyperliquid.socket import UserListener
from fillbook.sources.hyperliquid.state import PerpState, SpotState, position_text
from fillbook.sources.pace import SystemPace
from fillbook.sources.stream import Answer, Nudge

ACCOUNT = "0x193bd350ec838b1e22d6f302da5343b920aa1c2b"
MS = 1_000_000
D = Decimal
F = TypeVar("F")
Case = dict[str, Any]
NOT_OURS = "nothing that Fillbook reads"


def facts_in(row: Any, account: str = ACCOUNT) -> list[Any]:
    """The facts of one recorded row."""
    drafts = drafts_of(parse_object(json.dumps(row)), ApiContext(account=account))
    return [draft.fact for draft in drafts]


def only(row: Any, kind: type[F], account: str = ACCOUNT) -> F:
    (fact,) = [fact for fact in facts_in(row, account) if isinstance(fact, kind)]
    return fact


def dec(number: Any) -> Decimal:
    """A number of the corpus as it is printed there."""
    return D(str(number))


def positions_in(state: Any) -> list[Report]:
    told = answered(_answer(state), PerpState)
    texts = [position_text(told, each.position) for each in told.asset_positions]
    return [only(json.loads(text), Report) for text in texts]


def _answer(body: Any) -> Answer:
    # Some recordings were made with every number as text.
    for name in ("time", "token"):
        body = _numbered(body, name)
    text = json.dumps(body)
    return Answer(status=200, text=text, headers={}, asked_ns=0, told_ns=0, received_ns=0)


def _numbered(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {
            key: int(part) if key == name and isinstance(part, str) else _numbered(part, name)
            for key, part in value.items()
        }
    return [_numbered(part, name) for part in value] if isinstance(value, list) else value


# -- ccxt: raw answers with the values another reader made of them ---------------------------

SYMBOLS = {
    "HYPE/USDC:USDC": "HYPE",
    "SOL/USDC:USDC": "SOL",
    "FLX-CRCL/USDH:USDH": "flx:CRCL",
    "PURR/USDC": "PURR/USDC",
}
STATUSES = {"closed": "filled", "open": "placed", "canceled": "cancelled"}
# What these coins are called on the venue's page; the book keeps the venue's own names.
SHOWN = {"UETH": "ETH", "USOL": "SOL"}


def trades(case: Case) -> int:
    fills = {fill.fill_id: fill for row in case["httpResponse"] for fill in facts_in(row)}
    for told in case["expected"]:
        fill = fills[told["id"]]
        assert fill.ts_ns == told["timestamp"] * MS
        assert fill.instrument == SYMBOLS[told["symbol"]]
        assert (fill.order_id, fill.side) == (told["order"], told["side"])
        assert (fill.liquidity, fill.px, fill.qty) == (
            told["takerOrMaker"],
            dec(told["price"]),
            dec(told["amount"]),
        )
        assert fill.px * fill.qty == dec(told["cost"])
        raw = next(row for row in case["httpResponse"] if row["tid"] == told["id"])
        # The other reader adds `builderFee`, which `fee` holds already.
        extra = dec(raw.get("builderFee", "0"))
        assert fill.fee is not None
        assert fill.fee + extra == dec(told["fee"]["cost"])
        assert (fill.fee, fill.fee_asset) == (dec(raw["fee"]), told["fee"]["currency"])
    return len(case["expected"])


def orders(case: Case) -> int:
    answer = case["httpResponse"]
    rows = [answer["order"]] if isinstance(answer, dict) else answer
    wanted = case["expected"] if isinstance(case["expected"], list) else [case["expected"]]
    for row, told in zip(rows, wanted, strict=True):
        facts = facts_in(row)
        assert all(isinstance(fact, OrderUpdate) for fact in facts)
        placed, last = facts[0], facts[-1]
        assert (placed.status, last.status) == ("placed", STATUSES[told["status"]])
        assert placed.ts_ns == told["timestamp"] * MS
        if "lastUpdateTimestamp" in told and last is not placed:
            assert last.ts_ns == told["lastUpdateTimestamp"] * MS
        for fact in facts:
            assert (fact.order_id, fact.side) == (told["id"], told["side"])
            assert fact.instrument == SYMBOLS[told["symbol"]]
            assert (fact.px, fact.qty) == (dec(told["price"]), dec(told["amount"]))
            assert fact.order_type == told.get("type")
            assert fact.reduce_only is False and fact.stop_px is None
        if last.filled_qty is not None:
            assert last.filled_qty == dec(told["filled"])
            assert last.qty - last.filled_qty == dec(told["remaining"])
    return len(wanted)


def positions(case: Case) -> int:
    reports = {report.instrument: report for report in positions_in(case["httpResponse"])}
    for told in case["expected"]:
        report = reports[SYMBOLS[told["symbol"]]]
        assert report.qty is not None and report.px is not None
        assert abs(report.qty) == dec(told["contracts"])
        assert (report.qty < 0) == (told["side"] == "short")
        assert abs(report.qty) * report.px == dec(told["notional"])
        gain = report.qty * (report.px - dec(told["entryPrice"]))
        # The entry price is printed rounded to four decimals.
        assert abs(gain - dec(told["unrealizedPnl"])) <= abs(report.qty) * D("0.0001")
    return len(case["expected"])


def balances(case: Case) -> int:
    state = answered(_answer(case["httpResponse"]), SpotState)
    ours = {SHOWN.get(each.coin, each.coin): D(each.total) for each in state.balances}
    told = case["expected"]
    totals = told.get("total") or {coin: part["total"] for coin, part in told.items()}
    assert ours == {coin: dec(total) for coin, total in totals.items()}
    return 1


CCXT: dict[str, Callable[[Case], int] | str] = {
    "create order": "an answer to an order; Fillbook sends none",
    "trades with builderFee": trades,
    "user trades (perp)": trades,
    "closedOrders swap": orders,
    "open order using a non usdc hip3 market": orders,
    "open orders (short form)": orders,
    "fetch postOnly order": orders,
    "fetchOrder with both ts": orders,
    "fetch positions": positions,
    "short position": positions,
    "spot balance with correct currency codes": balances,
    "fetchBalance spot with used": balances,
    "btc ohlcv": NOT_OURS,
}


@pytest.mark.parametrize("name", [name for name, check in CCXT.items() if callable(check)])
def test_a_recorded_answer_reads_as_it_was_read_elsewhere(corpus: Path, name: str) -> None:
    cases = json.loads((corpus / "ccxt" / "hyperliquid.json").read_text())["cases"]
    (case,) = [each for each in cases if each["description"] == name]
    check = CCXT[name]
    assert callable(check)
    assert check(case) > 0


def test_every_recorded_case_is_checked_or_said_not_to_be_ours(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "hyperliquid.json").read_text())["cases"]
    assert [case["description"] for case in cases] == list(CCXT)
    assert sum(callable(check) for check in CCXT.values()) == 11


def test_the_liquidated_are_told_from_those_who_took_the_other_side(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "hyperliquid.json").read_text())["cases"]
    rows = next(c for c in cases if c["description"] == "trades with builderFee")["httpResponse"]
    own = [only(row, Fill).cause for row in rows]
    assert own == [None, "liquidation", None, "liquidation", None]
    somebody = [only(row, Fill, account="0x01").cause for row in rows]
    assert somebody == [None] * 5
    # A builder's dex settles in its own currency, and says so by the fee.
    assert [only(row, Fill).fee_asset for row in rows] == ["USDC", "USDH", "USDH", "USDC", "USDC"]


# -- client fixtures: answers without expectations, checked against figures read by hand -------


def body_of(path: Path) -> Any:
    """The JSON below the three lines of a request."""
    return json.loads("\n".join(path.read_text().splitlines()[3:]))


def account_state(body: Any) -> None:
    (report,) = positions_in(body)
    assert (report.instrument, report.qty, report.px) == ("HYPE", D("2.0"), D("37.826"))
    assert report.ts_ns == 1754467216357 * MS
    assert answered(_answer(body), PerpState).margin_summary.account_value == "83.307638"


def funding_paid(body: Any) -> None:
    paid = only(body[0], Funding)
    assert (paid.instrument, paid.amount, paid.asset) == ("HYPE", D("-0.044263"), "USDC")
    assert (paid.rate, paid.position_qty) == (D("0.0000369155"), D("30.0"))
    assert paid.ts_ns == 1750172400033 * MS


def ledger(body: Any) -> None:
    moved = [fact for row in body for fact in facts_in(row)]
    assert all(isinstance(fact, Transfer) for fact in moved)
    # Eight moves between the account's own wallets sum to nothing; one deposit came in.
    assert [fact.what for fact in moved] == ["accountClassTransfer"] * 16 + ["deposit"]
    assert sum(fact.amount for fact in moved) == D("97.142685")
    assert moved[-1].ts_ns == 1737370449463 * MS


def spot_balances(body: Any) -> None:
    state = answered(_answer(body), SpotState)
    assert [(each.coin, each.total) for each in state.balances] == [
        ("USDC", "2.77363"),
        ("HYPE", "0.00959057"),
    ]


def sub_accounts(body: Any) -> None:
    states = [
        *(each["clearinghouseState"] for each in body if "clearinghouseState" in each),
        *(state for each in body for _, state in each.get("dexToClearinghouseState", [])),
    ]
    assert len(states) == 1
    held = [(report.instrument, report.qty) for report in positions_in(states[0])]
    assert held in ([], [("BTC", D("0.01948"))])
    spot = answered(_answer(body[0]["spotState"]), SpotState)
    assert spot.portfolio_margin_enabled is (held != [])


def mids(body: Any) -> None:
    assert answered(_answer(body), dict[str, str]) == {"APE": "4.33245", "ARB": "1.21695"}


def short_order(body: Any) -> None:
    order = only(body[0], OrderUpdate)
    assert (order.status, order.side, order.px) == ("placed", "sell", D("29792.0"))
    # The short form tells what remains, not what was asked for.
    assert (order.qty, order.order_id, order.ts_ns) == (None, "91490942", 1681247412573 * MS)


def full_order(body: Any) -> None:
    order = only(body[0], OrderUpdate)
    assert (order.qty, order.px, order.order_type) == (D("1.0"), D("21.0"), "limit")
    assert (order.stop_px, order.reduce_only, order.client_order_id) == (None, False, None)


def user_trades(body: Any) -> None:
    fill = only(body[0], Fill)
    assert (fill.instrument, fill.px, fill.qty, fill.fee) == (
        "AVAX",
        D("18.435"),
        D("93.53"),
        D("0.01"),
    )
    assert (fill.start_position, fill.liquidity, fill.fill_id) == (
        D("26.86"),
        "maker",
        "118906512037719",
    )


FIXTURES: dict[str, Callable[[Any], None] | str] = {
    "endpoints_futures_account/GetAccountInfo": account_state,
    "endpoints_futures_account/GetFundingHistory": funding_paid,
    "endpoints_futures_exchangedata/GetFundingRateHistory": "public rates, " + NOT_OURS,
    "endpoints_futures_exchangedata/GetSymbolsAtMaxOpenInterest": NOT_OURS,
    "endpoints_spot_account/GetAccountLedger": ledger,
    "endpoints_spot_account/GetApprovedBuilderFee": NOT_OURS,
    "endpoints_spot_account/GetBalances": spot_balances,
    "endpoints_spot_account/GetExtraAgents": NOT_OURS,
    "endpoints_spot_account/GetRateLimits": NOT_OURS,
    "endpoints_spot_account/GetSubAccounts": sub_accounts,
    "endpoints_spot_account/GetSubAccounts2": sub_accounts,
    "endpoints_spot_exchangedata/GetKlines": NOT_OURS,
    "endpoints_spot_exchangedata/GetOrderBook": NOT_OURS,
    "endpoints_spot_exchangedata/GetPrices": mids,
    "endpoints_spot_trading/GetOpenOrders": short_order,
    "endpoints_spot_trading/GetOpenOrdersExtended": full_order,
    "endpoints_spot_trading/GetUserTrades": user_trades,
}


@pytest.mark.parametrize("name", [name for name, check in FIXTURES.items() if callable(check)])
def test_a_clients_recorded_answer_reads_as_by_hand(corpus: Path, name: str) -> None:
    check = FIXTURES[name]
    assert callable(check)
    check(body_of(corpus / "JKorf.HyperLiquid.Net" / f"{name}.txt"))


def names_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.*")
    )


def test_every_recorded_answer_is_checked_or_said_not_to_be_ours(corpus: Path) -> None:
    assert names_in(corpus / "JKorf.HyperLiquid.Net") == sorted(FIXTURES)
    assert sum(callable(check) for check in FIXTURES.values()) == 10


# -- an adapter's websocket messages ------------------------------------------------------------


def test_every_recorded_message_is_a_hint_or_said_not_to_be_ours(corpus: Path) -> None:
    folder = corpus / "nautilus_trader" / "hyperliquid"
    assert names_in(folder) == ["ws_allmids", "ws_book_data", "ws_user_fill_liquidation"]
    listener = UserListener(ACCOUNT, SystemPace())
    text = (folder / "ws_user_fill_liquidation.json").read_text()
    assert listener.heard(text) == Nudge(streams=("fills",), why="user")
    # Prices and books are not subscribed to: whatever says so is not understood.
    for name in ("ws_allmids", "ws_book_data"):
        with pytest.raises(ValueError, match=r"channel"):
            listener.heard((folder / f"{name}.json").read_text())
    assert json.loads((folder / "ws_allmids.json").read_text())["data"]["mids"]["@142"] == "80907.5"


def test_a_counterpartys_liquidation_is_not_ours(corpus: Path) -> None:
    path = corpus / "nautilus_trader" / "hyperliquid" / "ws_user_fill_liquidation.json"
    (row,) = json.loads(path.read_text())["data"]["fills"]
    fill = only(row, Fill)
    assert (fill.side, fill.start_position, fill.cause) == ("sell", D("-0.0213"), None)
    whose = row["liquidation"]["liquidatedUser"]
    assert only(row, Fill, account=whose).cause == "liquidation"


# -- real answers of the venue's own client -----------------------------------------------------


def exchanges(corpus: Path, name: str, kind: str) -> list[tuple[Case, Any]]:
    path = corpus / "hyperliquid-python-sdk" / "decoded" / f"{name}.json"
    calls = json.loads(path.read_text(), parse_float=str)
    return [(c["request"], c["response"]) for c in calls if c["request"]["type"] == kind]


def test_real_positions_give_the_mark_they_were_valued_at(corpus: Path) -> None:
    ((_, state),) = exchanges(corpus, "test_get_user_state", "clearinghouseState")
    raw = {each["position"]["coin"]: each["position"] for each in state["assetPositions"]}
    state.setdefault("time", 1_680_000_000_000)  # this recording is older than the field
    reports = positions_in(state)
    assert len(reports) == len(raw) == 12
    for report in reports:
        position = raw[report.instrument or ""]
        assert report.px is not None and report.qty == D(position["szi"])
        assert abs(report.qty) * report.px == D(position["positionValue"])
        gain = report.qty * (report.px - D(position["entryPx"]))
        # The entry price is printed rounded.
        slack = abs(report.qty) * D("0.00001") + D("0.000001")
        assert abs(gain - D(position["unrealizedPnl"])) <= slack, position


def test_real_open_orders_and_payments_are_read_to_the_last_row(corpus: Path) -> None:
    ((asked, rows),) = exchanges(corpus, "test_get_open_orders", "openOrders")
    placed = [only(row, OrderUpdate, account=asked["user"]) for row in rows]
    assert len(placed) == 196 == len({order.order_id for order in placed})
    assert {order.status for order in placed} == {"placed"}
    assert sum(order.side == "buy" for order in placed) == sum(row["side"] == "B" for row in rows)
    calls = exchanges(corpus, "test_user_funding_history_with_end_time", "userFunding")
    paid = [(only(row, Funding), row) for _, rows in calls for row in rows]
    assert len(paid) == 13
    assert sum(fact.amount for fact, _ in paid) == sum(D(row["delta"]["usdc"]) for _, row in paid)


def keys_of(rows: Sequence[Any]) -> list[str]:
    context = ApiContext(account=ACCOUNT)
    return [
        draft.key for row in rows for draft in drafts_of(parse_object(json.dumps(row)), context)
    ]


def test_a_twap_slice_and_its_plain_fill_are_one_claim(corpus: Path) -> None:
    cases = json.loads((corpus / "ccxt" / "hyperliquid.json").read_text())["cases"]
    rows = next(c for c in cases if c["description"] == "trades with builderFee")["httpResponse"]
    slices = [{"fill": {**row, "twapId": 3156}, "twapId": 3156} for row in rows]
    assert keys_of(slices) == keys_of(rows)
    assert [facts_in(row) for row in slices] == [facts_in(row) for row in rows]


def test_the_tables_speak_of_real_structures() -> None:
    """The structures that the checks decode refuse an answer of another shape."""
    for kind in (PerpState, SpotState):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(b'{"error":"no"}', type=kind)
