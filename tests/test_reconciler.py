"""Before a difference is told: what is pulled when, what is waited for, what ends it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal

import msgspec
import pytest

from fillbook.analysis.reconcile.answer import Check
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView
from fillbook.facts.model import Claim, Component, Report
from fillbook.ground.settings import Settings
from fillbook.ledger.ledger import fold_claims
from fillbook.monitor.comparing import apart
from fillbook.monitor.reconciler import Reconciler, Statement
from strategies import ACCOUNT, HOUR, SECOND, T0, VENUE, Import, fill, market, remember

MINUTE = 60 * SECOND


class Account:
    """An account whose venue gives the fills in `late` once it is asked days back, or at once."""

    def __init__(self) -> None:
        self.known: list[Claim] = [market(), fill(0, "buy", 1)]
        self.at_once: list[Claim] = []
        self.days_back: list[Claim] = []
        self.answers = True
        self.now_ns = T0 + HOUR
        self.pulls: list[tuple[str | None, bool]] = []
        self.lines: list[str] = []
        self.reconciler = Reconciler(
            "main", self.fresh, self.backfill, lambda: self.now_ns, self.lines.append
        )

    def view(self) -> BookView:
        ledger = fold_claims(remember(Import(self.known)))
        return BookView(lambda: ledger, Valuer(None, HOUR), Settings())

    async def fresh(self) -> BookView:
        return self.view()

    async def backfill(
        self, components: Collection[Component], instrument: str | None, *, deep: bool
    ) -> bool:
        self.pulls.append((instrument, deep))
        self.known += self.at_once + (self.days_back if deep and self.answers else [])
        self.at_once = []
        return self.answers

    async def said(self, qty: int | None, after_ns: int = 0) -> None:
        """Let the venue state the position, None for flat, so much later."""
        self.now_ns += after_ns
        report = Report(
            venue=VENUE,
            account=ACCOUNT,
            ts_ns=self.now_ns,
            what="position",
            instrument="BTC",
            qty=Decimal(qty or 0),
        )
        told = Statement(self.now_ns, () if qty is None else (report,))
        await self.reconciler.compare(self.view(), VENUE, ACCOUNT, told)

    @property
    def found(self) -> list[tuple[str, str | None]]:
        return [(each.code, each.amount) for each in self.reconciler.findings]


def live(body: Callable[[Account], Awaitable[None]]) -> None:
    asyncio.run(_of(body))


async def _of(body: Callable[[Account], Awaitable[None]]) -> None:
    await body(Account())


def test_a_position_told_before_its_fill_is_pulled_for_and_not_told() -> None:
    async def body(account: Account) -> None:
        account.at_once = [fill(HOUR - SECOND, "buy", 2)]
        await account.said(3)
        assert account.pulls == [("BTC", False)]
        await account.said(3, MINUTE)
        assert (account.lines, account.found, len(account.pulls)) == ([], [], 1)

    live(body)


def test_trading_on_while_fills_are_late_is_no_difference() -> None:
    """Each statement is compared at its own instant, however far the book is behind by then."""

    async def body(account: Account) -> None:
        for nth in range(20):
            # The fill of this very moment comes only when it is pulled for.
            account.at_once = [fill(HOUR + nth * MINUTE - 1, "buy", 1)]
            account.now_ns = T0 + HOUR + nth * MINUTE
            await account.said(2 + nth)
        assert (account.lines, account.found) == ([], [])
        assert not any(deep for _, deep in account.pulls)

    live(body)


def test_what_stays_is_looked_for_days_back_and_then_told_until_it_goes() -> None:
    async def body(account: Account) -> None:
        await account.said(1)
        await account.said(4, MINUTE)
        for _ in range(8):
            await account.said(4, MINUTE)
        assert account.pulls == [("BTC", False)], "for ten minutes a fill may just be late"
        assert account.found == []
        await account.said(4, 2 * MINUTE)
        assert account.pulls[1:] == [("BTC", True)]
        assert account.found == [("position-disagrees", "-3")]
        (told,) = account.lines
        assert told.startswith("! main: position of BTC differs from the venue's by -3 BTC")
        assert "2026-01-05T01:00:00Z, when both agreed" in account.reconciler.findings[0].next_step
        await account.said(4, 30 * MINUTE)
        assert len(account.pulls) == 2, "days back once an hour at most"
        account.days_back = [fill(HOUR + SECOND, "buy", 3)]
        await account.said(4, 31 * MINUTE)
        assert account.found == []
        assert account.lines[1:] == [
            "✓ main: position of BTC agrees with the venue's again (-3 BTC is explained)"
        ]

    live(body)


def test_what_is_found_days_back_is_no_alarm() -> None:
    async def body(account: Account) -> None:
        account.days_back = [fill(HOUR - SECOND, "sell", 1)]
        await account.said(None)
        await account.said(None, 11 * MINUTE)
        assert account.pulls == [("BTC", False), ("BTC", True)]
        assert account.found == []
        assert account.lines == ["✓ main: BTC: fills came late and were found"]

    live(body)


def test_a_venue_that_does_not_answer_proves_nothing() -> None:
    async def body(account: Account) -> None:
        await account.said(4)
        account.answers = False
        await account.said(4, 11 * MINUTE)
        assert account.found == []
        await account.said(4, 4 * MINUTE)
        assert len(account.pulls) == 2, "it is asked again in five minutes"
        account.answers = True
        await account.said(4, 2 * MINUTE)
        assert account.found == [("position-disagrees", "-3")]

    live(body)


def stated(theirs: int, at: str = "2026-01-05T00:30:00Z") -> Check:
    """Compare the position with a statement in the book, behind which all fills are here."""
    return msgspec.structs.replace(
        check("differs"),
        check="position",
        position_side="net",
        theirs=str(theirs),
        difference=str(1 - theirs),
        unit="BTC",
        at=at,
        next_step="fills since yesterday are missing",
    )


@pytest.mark.parametrize("is_polled_first", [True, False])
def test_what_the_book_proves_is_told_after_a_restart_without_waiting(
    is_polled_first: bool,
) -> None:
    async def body(account: Account) -> None:
        if is_polled_first:
            await account.said(4)
        await account.reconciler.look_back([stated(4)])
        for _ in range(3):
            assert account.found == []
            await account.said(4, 2 * SECOND)
            if account.pulls == [("BTC", False), ("BTC", True)]:
                break
        assert account.found == [("position-disagrees", "-3")]
        (found,) = account.reconciler.findings
        assert found.ts_ns == T0 + HOUR // 2
        assert found.next_step == "fills since yesterday are missing"
        account.days_back = [fill(HOUR // 2 - SECOND, "buy", 3)]
        account.reconciler.settle([stated(4)])
        await account.said(4, 61 * MINUTE)
        assert account.found == []

    live(body)


def test_what_the_book_proved_is_forgotten_with_the_fills_that_explain_it() -> None:
    async def body(account: Account) -> None:
        await account.reconciler.look_back([stated(4)])
        account.days_back = [fill(HOUR // 2 - SECOND, "buy", 3)]
        await account.said(4)
        await account.said(4, SECOND)
        assert account.pulls == [("BTC", False), ("BTC", True)]
        assert account.lines == ["✓ main: BTC: fills came late and were found"]
        # The next difference is one of its own, and has its ten minutes.
        for _ in range(3):
            await account.said(6, MINUTE)
        assert account.pulls[2:] == [("BTC", False)]
        assert account.found == []
        await account.said(6, 10 * MINUTE)
        assert account.found == [("position-disagrees", "-2")]

    live(body)


def test_a_statement_that_was_wrong_once_is_forgotten() -> None:
    async def body(account: Account) -> None:
        await account.said(None)
        await account.said(1, MINUTE)
        await account.said(1, 20 * MINUTE)
        assert (account.found, account.lines) == ([], [])
        assert account.pulls == [("BTC", False)]

    live(body)


def test_stopping_waits_for_no_check_of_the_whole_book() -> None:
    begun, never = threading.Event(), threading.Event()

    def long() -> None:
        begun.set()
        never.wait()

    async def stopped() -> None:
        task = asyncio.create_task(apart(long))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(stopped())  # would never end if somebody waited for the thread
    never.set()


def test_what_a_check_of_the_whole_book_raises_reaches_whoever_asked() -> None:
    async def asked() -> None:
        assert await apart(lambda: 7) == 7
        with pytest.raises(ZeroDivisionError):
            await apart(lambda: 1 // 0)

    asyncio.run(asked())


def check(state: str, amount: str = "0.5") -> Check:
    return Check(
        check="commission",
        state=state,  # type: ignore[arg-type]
        venue=VENUE,
        account=ACCOUNT,
        instrument="BTC",
        ours="1",
        theirs="1",
        difference=amount,
        unit="USD",
        what="fees",
    )


def test_rows_that_differ_are_looked_for_once_before_they_are_told() -> None:
    async def body(account: Account) -> None:
        reconciler = account.reconciler
        assert await reconciler.look_back([check("differs")])
        assert account.pulls == [("BTC", True)]
        reconciler.settle([check("agrees", "0")])
        assert (account.found, account.lines) == ([], [])
        account.answers = False
        assert await reconciler.look_back([check("differs")])
        reconciler.settle([check("differs")])
        assert account.found == [], "the venue did not answer"
        account.answers = True
        assert await reconciler.look_back([check("differs")])
        reconciler.settle([check("differs")])
        assert account.found == [("commission-disagrees", "0.5")]
        assert not await reconciler.look_back([check("differs")]), "it is known by now"
        reconciler.settle([check("not checked")])
        assert len(account.found) == 1, "what cannot be checked is not resolved"
        reconciler.settle([check("agrees", "0")])
        assert account.found == []
        assert [line[0] for line in account.lines] == ["!", "✓"]

    live(body)
