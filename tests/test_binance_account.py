"""A Binance account as it is attached: who it is, what its key may do, what is looked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.facts.model import Report
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.sources.attach import Tools, check_rights
from fillbook.sources.binance.live import BinanceAccount, open_account
from fillbook.sources.binance.socket import UserListener
from fillbook.sources.faults import BrokenAnswerError, KeyRefusedError, SourceError
from fillbook.sources.files.registry import reparse
from fillbook.sources.reading import facts_of
from fillbook.sources.redact import MASK, Redactor
from fillbook.sources.sockets import ReopenError
from fillbook.sources.source import Draft
from fillbook.sources.stream import Answer, Ask
from loopback import Loopback, Reply, Seen, TestPace

D = Decimal
KEY, SECRET = "k" * 60 + "…ab"[1:], "s" * 64
MS = 1_000_000
RESTRICTIONS = {
    "ipRestrict": True,
    "createTime": 1_698_645_219_000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": False,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": True,
    "enableSpotAndMarginTrading": False,
    "enablePortfolioMarginTrading": False,
}


class Small:
    """A venue in a table: path -> what it answers; counts what it is asked."""

    def __init__(self, **replies: Any) -> None:
        self.replies: dict[str, Any] = {
            "/fapi/v1/time": {"serverTime": 1_800_000_000_000},
            "/api/v3/account": {"uid": 354937868, "canTrade": True, "balances": []},
            "/sapi/v1/account/apiRestrictions": RESTRICTIONS,
            "/fapi/v1/income": [],
            "/fapi/v3/positionRisk": [],
            "/fapi/v1/openOrders": [],
            **{name.replace("__", "/"): reply for name, reply in replies.items()},
        }
        self.asked: list[Seen] = []

    def __call__(self, seen: Seen) -> Reply | None:
        self.asked.append(seen)
        told = self.replies.get(seen.path)
        if callable(told):
            told = told(seen)
        if isinstance(told, Reply):
            return told
        return None if told is None else Reply(json.dumps(told))

    @property
    def paths(self) -> list[str]:
        return [seen.path for seen in self.asked]


def opened(
    url: str, pace: TestPace, *, testnet: bool = False, **more: Any
) -> tuple[BinanceAccount, AttachSettings]:
    roles = ("fapi", "ws") if testnet else ("fapi", "sapi", "ws")
    settings = AttachSettings(
        venue="binance",
        key_env="KEY",
        secret_env="SECRET",
        urls=dict.fromkeys(roles, url),
        share=D(1),
        **more,
    )
    tools = Tools(pace, environ={"KEY": KEY, "SECRET": SECRET}, redactor=Redactor())
    return open_account(settings, tools), settings


def with_account(
    venue: Small,
    body: Callable[[BinanceAccount, AttachSettings, TestPace], Awaitable[Any]],
    **options: Any,
) -> Any:
    async def whole() -> Any:
        pace = TestPace()
        async with Loopback(venue) as server:
            account, settings = opened(server.url, pace, **options)
            try:
                return await body(account, settings, pace)
            finally:
                await account.close()

    return asyncio.run(whole())


# -- who it is, and what its key may do ----------------------------------------------------------


def test_an_account_is_its_uid_whatever_its_key_is_called() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        assert await account.identify() == account.account == "354937868"
        assert account.label == "binance …" + KEY[-4:]

    venue = Small()
    with_account(venue, body)
    assert venue.paths == ["/fapi/v1/time", "/api/v3/account"]


def test_an_address_is_no_key() -> None:
    settings = AttachSettings(venue="binance", address="0x31ca8395cf837de08b24da3f660e77761dfb974b")
    with pytest.raises(ConfigError, match="attached with a key"):
        open_account(settings, Tools(TestPace(), environ={}))


@pytest.mark.parametrize(
    ("changes", "accept", "decision", "said"),
    [
        ({}, False, "accepted", ""),
        ({"ipRestrict": False}, False, "accepted", ""),
        ({"enableFutures": True}, False, "refused", "may enableFutures"),
        ({"enableFutures": True}, True, "accepted with finding", "accepted by accept_trading_key"),
        ({"enableFutures": True, "enableWithdrawals": True}, True, "refused", "enableWithdrawals"),
        ({"enableReading": False}, False, "refused", "lacks enableReading"),
        # A right that nobody here has heard of, in any shape.
        ({"enableMoonTravel": True}, False, "refused", "may enableMoonTravel"),
        ({"enableMoonTravel": {"far": 1}}, True, "refused", "may enableMoonTravel"),
        ({"enableMoonTravel": None}, True, "refused", "may enableMoonTravel"),
        ({"enableMoonTravel": False}, False, "accepted", ""),
        ({"tradingAuthorityExpirationTime": 1_798_645_219_000}, False, "accepted", ""),
    ],
)
def test_rights_are_judged_by_what_the_venue_prints(
    changes: dict[str, Any], accept: bool, decision: str, said: str
) -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        verdict = await check_rights(account, settings)
        assert verdict.decision == decision
        assert said in "; ".join(verdict.reasons)

    told = {"__sapi__v1__account__apiRestrictions": {**RESTRICTIONS, **changes}}
    with_account(Small(**told), body, accept_trading_key=accept)


def test_a_missing_right_is_not_a_safe_one() -> None:
    told = {name: v for name, v in RESTRICTIONS.items() if name != "enableWithdrawals"}

    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        verdict = await check_rights(account, settings)
        assert verdict.decision == "refused"
        assert "does not say whether it may enableWithdrawals" in verdict.reasons

    with_account(Small(__sapi__v1__account__apiRestrictions=told), body)


def test_a_testnet_is_asked_alone_and_its_keys_are_trading_keys() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        assert await account.identify() == "testnet-SgsR"
        assert (await check_rights(account, settings)).decision == "refused"
        assert len(account.usage()) == 1

    alias = {"accountAlias": "SgsR", "asset": "USDT", "balance": "5"}
    venue = Small(__fapi__v3__balance=[alias, {**alias, "asset": "BNB"}])
    with_account(venue, body, testnet=True)
    assert venue.paths == ["/fapi/v1/time", "/fapi/v3/balance"]
    with pytest.raises(KeyRefusedError):
        with_account(Small(__fapi__v3__balance=[]), body, testnet=True)


# -- what is looked for --------------------------------------------------------------------------


def commission(symbol: str, at_ms: int) -> dict[str, Any]:
    return {"symbol": symbol, "incomeType": "COMMISSION", "time": at_ms}


def test_symbols_are_those_that_paid_that_are_held_that_rest_and_that_are_named() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        streams = await account.discover((), pace.now_ns())
        names = {stream.name for stream in streams}
        symbols = {name.partition("/")[2] for name in names if name.startswith("trades/")}
        assert symbols == {"PAIDUSDT", "HELDUSDC", "RESTUSDT"}
        assert names == {
            "income",
            *(f"{kind}/{s}" for kind in ("trades", "orders", "algo") for s in symbols),
            "rates/BNBUSDT",
            "rates/BNBUSDC",
        }
        again = await account.discover(("NAMEDUSDT", "BNB/USDT", "-USDT"), pace.now_ns())
        assert {s.name for s in again} - names == {
            f"{kind}/NAMEDUSDT" for kind in ("trades", "orders", "algo")
        }
        # The same objects, so that whoever pulls them sees a new interval.
        assert [s for s in again if s.name in names] == list(streams)

    venue = Small(
        __fapi__v1__income=[commission("PAIDUSDT", 1_799_000_000_000)],
        __fapi__v3__positionRisk=[{"symbol": "HELDUSDC", "positionAmt": "1"}],
        __fapi__v1__openOrders=[{"symbol": "RESTUSDT"}],
    )
    with_account(venue, body)
    assert venue.paths.count("/fapi/v1/income") == 1
    assert venue.paths.count("/fapi/v1/openOrders") == 1


def test_many_commissions_are_looked_through_within_reason() -> None:
    pages: list[int] = []

    def income(seen: Seen) -> Any:
        query = seen.query
        assert query["incomeType"] == "COMMISSION"
        start = int(query["startTime"])
        pages.append(start)
        symbol = "OLDUSDT" if len(pages) < 10 else "NEWUSDT"
        return [commission(symbol, start + n) for n in range(1000)]

    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        estimate = await account.estimate(pace.now_ns())
        assert estimate.weight > 2 * 11_000 // 1000 * 30
        assert not estimate.exact and estimate.share_ratio == 1
        assert any("three months" in line for line in estimate.beyond)
        streams = await account.discover((), pace.now_ns())
        assert {"trades/OLDUSDT", "trades/NEWUSDT"} <= {s.name for s in streams}
        assert pages[-1] == (pace.now_ns() - 7 * DAY_NS) // MS

    with_account(Small(__fapi__v1__income=income), body)
    assert len(pages) == 11


def test_many_symbols_are_pulled_less_often() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        one = await account.discover(("AUSDT",), pace.now_ns())
        (trades,) = [s for s in one if s.name == "trades/AUSDT"]
        (orders,) = [s for s in one if s.name == "orders/AUSDT"]
        assert (trades.every_ns, orders.every_ns) == (MINUTE_NS, 5 * MINUTE_NS)
        many = await account.discover([f"S{n}USDT" for n in range(100)], pace.now_ns())
        every = {s.name: s.every_ns for s in many}
        a_minute = sum(
            5 * MINUTE_NS / every[name]
            for name in every
            if name.startswith(("trades", "orders", "algo"))
        )
        # A hundred symbols stay within half of a fifth of the limit.
        assert a_minute < 2400 * 0.2 / 2
        assert trades.every_ns == every["trades/AUSDT"] > MINUTE_NS

    with_account(Small(), body)


# -- what it holds -------------------------------------------------------------------------------

POSITION = {"symbol": "BTCUSDC", "positionSide": "LONG", "positionAmt": "0.5"}
POSITION |= {"entryPrice": "60000", "markPrice": "61000.5", "updateTime": 5}
SHORT = {**POSITION, "positionSide": "SHORT", "positionAmt": "-0.2"}
FLAT = {**POSITION, "symbol": "ETHUSDC", "positionAmt": "0.000"}
USDC = {"asset": "USDC", "walletBalance": "100", "unrealizedProfit": "-1.5"}
USDC |= {"marginBalance": "98.5"}


def premium(seen: Seen) -> Any:
    symbol = seen.query.get("symbol")
    if symbol == "GONEUSDC":
        return Reply('{"code":-1121,"msg":"Invalid symbol."}', status=400)
    row = {"symbol": symbol, "markPrice": "2.5", "indexPrice": "600.25", "time": 1_800_000_000_000}
    return row if symbol else [{**row, "symbol": f"S{n}USDC"} for n in range(20)]


def held(**changes: Any) -> Small:
    return Small(
        **{
            "__fapi__v3__positionRisk": [POSITION, SHORT, FLAT],
            "__fapi__v3__account": {
                "assets": [USDC, {**USDC, "asset": "BNB", "marginBalance": "0"}]
            },
            "__fapi__v1__premiumIndex": premium,
            **changes,
        }
    )


def test_all_positions_are_one_read_and_equity_comes_once_an_hour() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        for hours, equities in ((0, 1), (0, 0), (1, 1)):
            pace.elapsed_ns += hours * HOUR_NS
            snapshot = await account.positions(pace.now_ns())
            reports = [d.fact for row in snapshot.rows for d in row.drafts if isinstance(d, Draft)]
            assert all(isinstance(report, Report) for report in reports)
            told = [
                (r.what, r.instrument or r.asset, r.position_side, r.qty, r.px, r.amount)
                for r in reports
                if isinstance(r, Report)
            ]
            assert told[:2] == [
                ("position", "BTCUSDC", "long", D("0.5"), D("61000.5"), None),
                ("position", "BTCUSDC", "short", D("-0.2"), D("61000.5"), None),
            ]
            assert told[2:] == [("equity", "USDC", "net", None, None, D("98.5"))] * equities
            for row in snapshot.rows:
                again = reparse(snapshot.source, snapshot.context, row.raw)
                assert again == facts_of(row.drafts)

    venue = held()
    with_account(venue, body)
    assert venue.paths.count("/fapi/v3/positionRisk") == 3
    assert venue.paths.count("/fapi/v3/account") == 2


def test_a_position_that_changed_after_the_question_left_says_when() -> None:
    late_ms = 1_800_000_000_400

    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        snapshot = await account.positions(pace.now_ns())
        changed, same = (d.fact for row in snapshot.rows[:2] for d in row.drafts)  # type: ignore[union-attr]
        assert (changed.ts_ns, same.ts_ns) == (late_ms * MS, snapshot.asked_ns // MS * MS)

    rows = [{**POSITION, "updateTime": late_ms}, SHORT]
    with_account(held(__fapi__v3__positionRisk=rows), body)


def test_a_position_that_cannot_be_read_is_never_taken_for_flat() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        with pytest.raises(BrokenAnswerError, match="positionAmt 'many' is not a decimal"):
            await account.positions(pace.now_ns())

    with_account(held(__fapi__v3__positionRisk=[{**POSITION, "positionAmt": "many"}]), body)


def test_marks_are_asked_for_where_positions_brought_none_and_bnb_has_a_rate() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        await account.positions(pace.now_ns())
        marks = await account.marks(("BTCUSDC", "SOLUSDC"), pace.now_ns())
        assert [(m.instrument, m.px, m.what) for m in marks] == [
            ("SOLUSDC", D("2.5"), "mark"),
            ("BNB/USDC", D("600.25"), "rate"),
        ]
        assert {m.ts_ns for m in marks} == {1_800_000_000_000 * MS}
        for _ in range(3):
            await account.marks(("GONEUSDC",), pace.now_ns())

    venue = held()
    with_account(venue, body)
    gone = [seen for seen in venue.asked if seen.query.get("symbol") == "GONEUSDC"]
    assert len(gone) == 1


def test_a_price_that_cannot_be_read_is_none_and_stops_nothing() -> None:
    def odd(seen: Seen) -> Any:
        told = premium(seen)
        return {**told, "markPrice": "NaN"} if seen.query["symbol"] == "ODDUSDC" else told

    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        marks = await account.marks(("ODDUSDC", "SOLUSDC"), pace.now_ns())
        assert [mark.instrument for mark in marks] == ["SOLUSDC"]

    with_account(held(__fapi__v1__premiumIndex=odd), body)


def test_many_marks_are_one_read() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        marks = await account.marks([f"S{n}USDC" for n in range(15)], pace.now_ns())
        assert len(marks) == 15

    venue = held()
    with_account(venue, body)
    assert [seen.query for seen in venue.asked if seen.path.endswith("premiumIndex")] == [{}]


# -- what a person is told -----------------------------------------------------------------------


def test_a_clock_that_is_off_and_unknown_income_are_findings() -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        assert account.findings() == []
        pace.wrong_ns = 90 * 10**9
        await account.identify()
        (streams, *_) = await account.discover((), pace.now_ns())
        row = {"symbol": "", "incomeType": "MOON_BONUS", "income": "3", "asset": "USDT"}
        text = json.dumps([{**row, "time": 1_799_999_999_999, "tranId": 1, "tradeId": ""}])
        cursor = streams.begin(None, account.venue_now_ns(), 0)
        streams.parse(
            Answer(status=200, text=text, headers={}, asked_ns=1, told_ns=1, received_ns=1), cursor
        )
        assert [f.code for f in account.findings()] == ["clock-skew", "income-type-unknown"]
        assert "90 s ahead of" in account.findings()[0].message
        assert "MOON_BONUS" in account.findings()[1].message

    with_account(Small(), body)


# -- the private stream --------------------------------------------------------------------------


def listener(
    pace: TestPace, reply: Callable[[Ask], str]
) -> tuple[UserListener, list[Ask], Redactor]:
    asked: list[Ask] = []
    redactor = Redactor()

    async def read(ask: Ask) -> Answer:
        asked.append(ask)
        return Answer(status=200, text=reply(ask), headers={}, asked_ns=0, told_ns=0, received_ns=0)

    return UserListener(read, pace, redactor, lambda symbol: None), asked, redactor


def test_a_listen_key_is_made_extended_and_never_shown(tmp_path: Path) -> None:
    async def body() -> None:
        pace = TestPace()
        one, asked, redactor = listener(pace, lambda ask: '{"listenKey":"pqia91ma19a5s61c"}')
        opening = await one.opening()
        assert opening.path == "/private/ws/pqia91ma19a5s61c"
        assert redactor.clean(f"at {opening.path}") == f"at /private/ws/{MASK}"
        await one.keep(None)  # type: ignore[arg-type]
        assert [(ask.method, ask.auth) for ask in asked] == [("POST", "key"), ("PUT", "key")]
        pace.elapsed_ns += 23 * HOUR_NS
        with pytest.raises(ReopenError):
            await one.keep(None)  # type: ignore[arg-type]

    asyncio.run(body())


def test_an_expired_listen_key_opens_anew_and_what_is_unknown_asks_for_everything() -> None:
    one, _, _ = listener(TestPace(), lambda ask: "{}")
    with pytest.raises(ReopenError):
        one.heard('{"stream":"x","data":{"e":"listenKeyExpired","E":1}}')
    nudge = one.heard('{"e":"WONDER","E":1}')
    assert nudge is not None and nudge.streams == ()
    for text in ('{"result":null,"id":1}', '{"e":"MARGIN_CALL"}', '{"e":"ACCOUNT_CONFIG_UPDATE"}'):
        assert one.heard(text) is None
    for text in ("not json", "[]", '{"e":"ORDER_TRADE_UPDATE"}', '{"e":"ALGO_UPDATE","o":{"s":5}}'):
        with pytest.raises((ValueError, KeyError, TypeError)):
            one.heard(text)


@pytest.mark.parametrize(
    ("reason", "streams"), [("ORDER", None), ("FUNDING_FEE", ("income",)), ("DEPOSIT", ("income",))]
)
def test_money_that_moves_asks_for_income(reason: str, streams: tuple[str, ...] | None) -> None:
    one, _, _ = listener(TestPace(), lambda ask: "{}")
    nudge = one.heard(json.dumps({"e": "ACCOUNT_UPDATE", "E": 1, "a": {"m": reason}}))
    assert (nudge and nudge.streams) == streams


def test_no_secret_is_in_any_message(caplog: pytest.LogCaptureFixture) -> None:
    async def body(account: BinanceAccount, settings: AttachSettings, pace: TestPace) -> None:
        await account.identify()
        with pytest.raises(SourceError) as refused:
            await account.positions(pace.now_ns())
        for text in (str(refused.value), repr(account), caplog.text):
            assert KEY not in text and SECRET not in text and "signature=" not in text

    echo = Reply(json.dumps({"code": -2015, "msg": f"key {KEY} of {SECRET} refused"}), status=401)
    with_account(held(__fapi__v3__positionRisk=echo), body)
