"""Which keys are taken, which are refused, and how an exception is remembered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fillbook.analysis.keys import TRADING_KEY, key_findings
from fillbook.analysis.summary import findings, load, why
from fillbook.analysis.view import Query
from fillbook.ground.clock import DAY_NS, HOUR_NS
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.ground.settings import Settings
from fillbook.journal.store import Journal
from fillbook.journal.values import BatchOpen, Page
from fillbook.monitor.keywatch import KeyWatch
from fillbook.sources.attach import Tools, attach, check_rights, open_account, pull_all
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.faults import KeyRefusedError, UnreachableError
from fillbook.sources.rights import judge
from fillbook.sources.stream import AttachEstimate, KeyRights
from fillbook.sources.transport import Transport
from fillbook.sources.writing import DirectWriter
from loopback import Loopback, TestPace
from strategies import fill
from toy_venue import ACCOUNT, ToyAccount, ToyVenue

BINANCE = {
    "ipRestrict": True,
    "enableReading": True,
    "enableFixReadOnly": False,
    "enableFixApiTrade": False,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "permitsUniversalTransfer": False,
    "enableMargin": False,
    "enableFutures": False,
    "enableVanillaOptions": False,
    "enableSpotAndMarginTrading": False,
    "enablePortfolioMarginTrading": False,
}
COINBASE = {"can_view": True, "can_trade": False, "can_transfer": False}
HARMLESS = {
    "binance": {"ipRestrict", "enableReading", "enableFixReadOnly"},
    "coinbase": {"can_view"},
}


def key(venue: str, rights: dict[str, bool], role: str | None = None) -> KeyRights:
    return KeyRights(venue=venue, subject="…abcd", rights=rights, role=role)


@pytest.mark.parametrize(("venue", "rights"), [("binance", BINANCE), ("coinbase", COINBASE)])
def test_every_combination_of_rights_is_accepted_only_if_all_are_harmless(
    venue: str, rights: dict[str, bool]
) -> None:
    names = sorted(rights)
    for values in itertools.product((False, True), repeat=len(names)):
        held = dict(zip(names, values, strict=True))
        safe = {name for name, has in held.items() if has} <= HARMLESS[venue]
        may_read = held["enableReading" if venue == "binance" else "can_view"]
        verdict = judge(venue, key(venue, held))
        assert verdict.decision == ("accepted" if safe and may_read else "refused"), held


@pytest.mark.parametrize(
    ("venue", "rights", "name"),
    [
        ("binance", BINANCE, "enableTimeTravel"),
        ("binance", BINANCE, "permitsSomething"),
        ("binance", BINANCE, "madeUp"),
        ("coinbase", COINBASE, "can_stake"),
    ],
)
def test_a_right_nobody_knows_is_refused_when_it_is_granted(
    venue: str, rights: dict[str, bool], name: str
) -> None:
    assert judge(venue, key(venue, {**rights, name: False})).decision == "accepted"
    verdict = judge(venue, key(venue, {**rights, name: True}))
    assert verdict.decision == "refused"
    assert verdict.reasons == (f"may {name}",)
    odd: Any = {**rights, name: "perhaps"}
    assert judge(venue, key(venue, odd)).decision == "refused"


@pytest.mark.parametrize(("venue", "rights"), [("binance", BINANCE), ("coinbase", COINBASE)])
def test_an_answer_that_leaves_a_dangerous_right_out_is_not_understood(
    venue: str, rights: dict[str, bool]
) -> None:
    assert judge(venue, key(venue, {})).decision == "refused"
    dangerous = "enableWithdrawals" if venue == "binance" else "can_transfer"
    silent = {name: has for name, has in rights.items() if name != dangerous}
    verdict = judge(venue, key(venue, silent))
    assert verdict.reasons == (f"does not say whether it may {dangerous}",)


@pytest.mark.parametrize(
    ("role", "decision"),
    [
        ("user", "accepted"),
        ("subAccount", "accepted"),
        ("vault", "accepted"),
        ("agent", "refused"),
        ("missing", "refused"),
        (None, "refused"),
        ("something new", "refused"),
    ],
)
def test_an_address_shows_its_own_history_only_in_some_roles(
    role: str | None, decision: str
) -> None:
    assert judge("hyperliquid", key("hyperliquid", {}, role)).decision == decision


def test_a_refusal_gives_the_steps_to_a_safe_key() -> None:
    verdict = judge("binance", key("binance", {**BINANCE, "enableWithdrawals": True}))
    steps = " ".join(verdict.steps)
    for word in ("API Management", "Enable Reading", "IP address", "0600", "key_file"):
        assert word in steps
    assert "accept_trading_key" not in steps
    found = verdict.finding("12345")
    assert found is not None
    assert (found.code, found.severity) == ("key-refused", "error")
    assert "may enableWithdrawals" in found.message


@pytest.mark.parametrize("name", sorted(set(BINANCE) - HARMLESS["binance"] - {"enableFutures"}))
def test_the_loud_exception_covers_futures_and_nothing_else(name: str) -> None:
    futures = {**BINANCE, "enableFutures": True}
    hint = judge("binance", key("binance", futures))
    assert hint.decision == "refused"
    assert "accept_trading_key" in " ".join(hint.steps)
    accepted = judge("binance", key("binance", futures), accept_trading_key=True)
    assert accepted.decision == "accepted with finding"
    found = accepted.finding("12345")
    assert found is not None
    assert (found.code, found.severity) == ("key-can-trade", "warning")
    more = {**futures, name: True}
    assert judge("binance", key("binance", more), accept_trading_key=True).decision == "refused"


def test_there_is_no_exception_for_other_venues() -> None:
    trading = {**COINBASE, "can_trade": True}
    verdict = judge("coinbase", key("coinbase", trading), accept_trading_key=True)
    assert verdict.decision == "refused"


def test_an_exception_without_an_address_restriction_says_so_too() -> None:
    rights = {**BINANCE, "enableFutures": True, "ipRestrict": False}
    verdict = judge("binance", key("binance", rights), accept_trading_key=True)
    assert "is not restricted to an address" in verdict.reasons


def attached(
    tmp_path: Path, body: Callable[[ToyAccount, DirectWriter, TestPace], Awaitable[Any]]
) -> Any:
    async def whole() -> Any:
        pace = TestPace()
        path = tmp_path / "book.db"
        with Journal.open(path) if path.exists() else Journal.create(path) as journal:
            async with Loopback(ToyVenue().script) as server:
                budget = Budget("hyperliquid", Limit(weight=1200), Decimal("0.2"), pace)
                urls = {"api": server.url}
                account = ToyAccount(Transport("hyperliquid", pace, budget, urls=urls), pace)
                try:
                    return await body(account, DirectWriter(journal, clock=pace.now_ns), pace)
                finally:
                    await account.close()

    return asyncio.run(whole())


SETTINGS = AttachSettings(venue="hyperliquid", address=ACCOUNT)


def test_a_refused_key_stops_the_attach_before_anything_is_pulled(tmp_path: Path) -> None:
    async def body(account: ToyAccount, writer: DirectWriter, pace: TestPace) -> None:
        account.told = key("hyperliquid", {}, "agent")
        with pytest.raises(KeyRefusedError) as caught:
            await attach(account, SETTINGS, writer, pace)
        assert "agent" in caught.value.what
        assert "public address" in caught.value.next_step

    attached(tmp_path, body)
    with Journal.open(tmp_path / "book.db") as journal:
        assert journal.batches() == []


def test_the_estimate_is_told_before_the_first_pull(tmp_path: Path) -> None:
    told: list[AttachEstimate] = []

    async def body(account: ToyAccount, writer: DirectWriter, pace: TestPace) -> None:
        done = await attach(account, SETTINGS, writer, pace, told=told.append)
        assert [pager.health.state for pager in done.pagers] == ["new"]
        assert await pull_all(done.pagers) == []
        assert [pager.health.state for pager in done.pagers] == ["running"]

    attached(tmp_path, body)
    # 600 of weight in windows of 3/4 of 20 % of 1200: four windows, the first of them at once.
    assert [estimate.duration_ns for estimate in told] == [3 * 60 * 10**9]


FUTURES = {**BINANCE, "enableFutures": True}
LOUD = AttachSettings(venue="binance", key_env="K", secret_env="S", accept_trading_key=True)


def remembered(folder: Path) -> list[str]:
    with Journal.open(folder / "book.db") as journal:
        return [found.message for found in key_findings(journal.labelled(TRADING_KEY))]


def test_an_accepted_trading_key_is_remembered_when_it_is_long_gone(tmp_path: Path) -> None:
    async def body(account: ToyAccount, writer: DirectWriter, pace: TestPace) -> None:
        account.venue = "binance"
        account.told = key("binance", FUTURES)
        await attach(account, LOUD, writer, pace)
        # The setting is gone and the key was replaced: what was stays said.
        account.told = key("binance", BINANCE)
        quiet = AttachSettings(venue="binance", key_env="K", secret_env="S")
        assert (await check_rights(account, quiet)).decision == "accepted"
        await attach(account, quiet, writer, pace)

    attached(tmp_path, body)
    (message,) = remembered(tmp_path)
    assert "key that can trade: …abcd may enableFutures" in message
    assert ACCOUNT in message and "2027-01-15" in message
    with Journal.open(tmp_path / "book.db") as journal:
        view = load(journal, None, Settings(), cache=tmp_path / "cache")
        for query in (Query(), Query(since_ns=10**18), Query(accounts=(ACCOUNT,))):
            assert [f.code for f in why(view, query).findings] == ["key-can-trade"]
            assert [f.code for f in findings(view, query)] == ["key-can-trade"]
        (batch,) = (b for b in journal.batches() if TRADING_KEY in b.labels)
        journal.retract(batch.batch_id, "it never happened", 0)
        again = load(journal, None, Settings(), cache=tmp_path / "cache")
        assert [f.code for f in findings(again, Query())] == ["key-can-trade"]


def test_an_answer_kept_from_before_the_exception_is_not_given_again(tmp_path: Path) -> None:
    async def body(account: ToyAccount, writer: DirectWriter, pace: TestPace) -> None:
        account.venue, account.told = "binance", key("binance", FUTURES)
        await attach(account, LOUD, writer, pace)

    Journal.create(tmp_path / "book.db").close()
    with Journal.open(tmp_path / "book.db") as journal:
        view = load(journal, None, Settings(), cache=tmp_path / "cache")
        assert findings(view, Query()) == []
    attached(tmp_path, body)
    with Journal.open(tmp_path / "book.db") as journal:
        view = load(journal, None, Settings(), cache=tmp_path / "cache")
        assert [f.code for f in findings(view, Query())] == ["key-can-trade"]


def test_every_key_that_could_trade_is_remembered_once(tmp_path: Path) -> None:
    async def body(account: ToyAccount, writer: DirectWriter, pace: TestPace) -> None:
        account.venue = "binance"
        for subject in ("…abcd", "…wxyz", "…abcd"):
            account.told = KeyRights(venue="binance", subject=subject, rights=FUTURES)
            await attach(account, LOUD, writer, pace)

    attached(tmp_path, body)
    told = remembered(tmp_path)
    assert len(told) == 2
    assert "…abcd may" in told[0] and "…wxyz may" in told[1]


def watched(
    tmp_path: Path, body: Callable[[KeyWatch, ToyAccount, TestPace], Awaitable[Any]]
) -> None:
    """Run a body on a key that was accepted just now and is looked at from time to time."""

    async def whole(account: ToyAccount, writer: DirectWriter, pace: TestPace) -> None:
        account.venue = "binance"
        account.told = key("binance", BINANCE)
        settings = AttachSettings(venue="binance", key_env="K", secret_env="S")
        watch = KeyWatch(account, settings, writer, pace)
        watch.take((await attach(account, settings, writer, pace)).verdict)
        await body(watch, account, pace)

    attached(tmp_path, whole)


def test_a_key_that_gains_a_right_is_refused_at_the_next_days_look(tmp_path: Path) -> None:
    async def body(watch: KeyWatch, account: ToyAccount, pace: TestPace) -> None:
        account.told = key("binance", {**BINANCE, "enableWithdrawals": True})
        await pace.rest(DAY_NS - HOUR_NS)
        await watch.look()
        assert watch.findings() == []
        await pace.rest(HOUR_NS)
        with pytest.raises(KeyRefusedError, match="enableWithdrawals"):
            await watch.look()

    watched(tmp_path, body)


def test_a_key_that_was_not_looked_at_for_a_day_is_a_finding(tmp_path: Path) -> None:
    async def body(watch: KeyWatch, account: ToyAccount, pace: TestPace) -> None:
        async def silent() -> KeyRights:
            raise UnreachableError("no answer")

        asked, account.rights = account.rights, silent  # type: ignore[method-assign]
        await pace.rest(DAY_NS)
        with pytest.raises(UnreachableError):
            await watch.look()
        assert watch.findings() == []
        await pace.rest(HOUR_NS)
        assert [found.code for found in watch.findings()] == ["key-unchecked"]
        account.rights = asked  # type: ignore[method-assign]
        await watch.look()
        assert watch.findings() == []

    watched(tmp_path, body)


def test_an_unknown_venue_is_told_with_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        open_account(AttachSettings(venue="mtgox", address="0x"), Tools(environ={}))
    assert "hyperliquid" in caught.value.next_step


def test_accounts_behind_one_address_share_one_budget_and_the_smallest_share() -> None:
    tools = Tools(TestPace(), environ={})
    limit = Limit(weight=1000)
    first = tools.budget("binance", limit, Decimal("0.2"))
    assert first.allowance == 200
    assert tools.budget("binance", limit, Decimal("0.05")) is first
    assert first.allowance == 50
    assert tools.budget("binance", limit, Decimal("0.5"), scope="key 2") is not first


def test_an_exception_is_not_known_before_it_was_accepted(tmp_path: Path) -> None:
    ours = {"venue": "binance", "account": ACCOUNT, "source": "s", "rank": 3, "fingerprint": ""}
    with Journal.create(tmp_path / "book.db") as journal:
        for number, labels in enumerate(((), (TRADING_KEY,)), 1):
            name = f"live:{number}"
            journal.begin(BatchOpen(batch_id=name, name=name, labels=labels, **ours), 0)  # type: ignore[arg-type]
            journal.append(Page(batch_id=name, claims=[fill(number, "buy", 1)], cursor=""), 0)
        told = [
            [found.code for found in load(journal, None, Settings(), as_of=seq).findings]
            for seq in (0, 1, 2)
        ]
    assert [codes.count("key-can-trade") for codes in told] == [0, 1, 1]
