"""Positions that the venue no longer states while the book still holds them: the last resort.

First the fills are looked for: at once when it is noticed, days back before anything is closed.
Only where none can be had does the last observed price close the position, approximate and marked
as such; without a price it is closed with an unknown result. What a later fill explains needs no
undoing: it takes the place of such a close by itself. A position that the venue states again was
never gone, so its close is taken back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from decimal import Decimal
from typing import Protocol

import msgspec

from fillbook.analysis.view import BookView
from fillbook.facts.model import Component, PositionSide, Report
from fillbook.ground.clock import DAY_NS
from fillbook.ground.exact import from_scaled, plain_text
from fillbook.journal.values import BatchOpen, Page
from fillbook.ledger.group import GroupLedger
from fillbook.sources.observed import RANK_OBSERVED, SOURCE, vanished_claim
from fillbook.sources.pager import Pager
from fillbook.sources.stream import JournalWriter, LiveAccount
from fillbook.sources.streambook import batch_id_of

Say = Callable[[str], None]
Backfill = Callable[[str], Awaitable[object]]
"""Pulls the fills of a product again, days back."""
Fresh = Callable[[], Awaitable[BookView]]
"""Returns a view that has everything written so far."""

FILLS: tuple[Component, ...] = ("fills",)
# Where the fills cannot be had at all, so many times longer is waited for them.
_WITHOUT_FILLS = 5
_OLDEST_PX_NS = DAY_NS


class Place(msgspec.Struct, frozen=True, order=True):
    """One position of an account: a product, and its leg in hedge mode."""

    instrument: str
    side: PositionSide


class Undoing(JournalWriter, Protocol):
    """A way into the book that can also take a batch back, and knows the last prices."""

    async def retract(self, batch_id: str, reason: str) -> None:
        """Undo a batch."""
        ...

    async def last_price(
        self, venue: str, instrument: str, since_ns: int, until_ns: int
    ) -> Decimal | None:
        """Return the last price in [since, until)."""
        ...


class Closed(msgspec.Struct):
    """A position that was closed here: the batch of its close, and what was held."""

    place: Place
    batch_id: str
    qty: Decimal


class Missing(msgspec.Struct):
    """A position that the venue states no longer in full; `left` is what it still states.

    `at_ns` is when the venue was first asked, `sure_ns` when it was asked again: what took the
    position happened before that, though perhaps between the first question and its answer.
    """

    at_ns: int
    left: Decimal
    sure_ns: int | None = None


class _State(msgspec.Struct):
    """What has to be remembered across restarts."""

    stated: list[Place] = []
    closed: list[Closed] = []


class Vanished:
    """Watches one account; `look` is called with every statement of its positions.

    A position that shrank or went is closed `after_ns` later at the earliest, and not before a
    second statement says the same. `fills_until` says up to which instant the fills of a product
    are complete.
    """

    def __init__(
        self,
        account: LiveAccount,
        writer: Undoing,
        fills_until: Callable[[str], int],
        backfill: Backfill,
        fresh: Fresh,
        after_ns: int,
        say: Say,
    ) -> None:
        self._account = account
        self._writer = writer
        self._fills_until = fills_until
        self._backfill = backfill
        self._fresh = fresh
        self._after_ns = after_ns
        self._say = say
        self._stated: set[Place] | None = None
        self._closed: dict[Place, Closed] = {}
        self._missing: dict[Place, Missing] = {}
        self._back: dict[Place, int] = {}

    async def look(self, view: BookView, said: Iterable[Report], asked_ns: int) -> None:
        """Take in what the venue states as open at one instant, all of it."""
        stated = {
            Place(report.instrument, report.position_side): report.qty
            for report in said
            if report.what == "position" and report.instrument and report.qty
        }
        if self._stated is None:
            await self._restore()
        assert self._stated is not None
        held = self._held(view)
        for place in sorted(self._stated | stated.keys()):
            await self._compare(
                place, held.get(place, Decimal(0)), stated.get(place) or Decimal(0), asked_ns
            )
        known = (self._stated | stated.keys()) & {*stated, *self._missing}
        if known != self._stated:
            self._stated = known
            await self._remember()

    def _held(self, view: BookView) -> dict[Place, Decimal]:
        """Return the account's positions in contracts by fills; coins move by transfers too."""
        mine = (self._account.venue, self._account.account)
        return {
            Place(key.instrument, key.position_side): _position(group)
            for group in view.ledger.groups
            if ((key := group.columns.key).venue, key.account) == mine
            and group.columns.contract.contract != "spot"
            and len(group)
        }

    async def _compare(self, place: Place, ours: Decimal, theirs: Decimal, asked_ns: int) -> None:
        closed = self._closed.get(place)
        if closed is not None and theirs:
            await self._came_back(closed, ours, theirs)
        if abs(theirs) >= abs(ours) or ours * theirs < 0:
            self._missing.pop(place, None)
            return
        missing = self._missing.get(place)
        if missing is None or missing.left != theirs:
            self._missing[place] = Missing(asked_ns, theirs)
            return
        if missing.sure_ns is None:
            missing.sure_ns = asked_ns
        waited_ns = asked_ns - missing.at_ns
        has_fills = self._fills_until(place.instrument) > missing.at_ns
        patience = 1 if has_fills else _WITHOUT_FILLS
        if waited_ns >= patience * self._after_ns:
            await self._close(place, missing, missing.sure_ns)

    async def _close(self, place: Place, missing: Missing, sure_ns: int) -> None:
        """Look for the fills once more, days back; close what they leave open."""
        await self._backfill(place.instrument)
        held = self._held(await self._fresh()).get(place, Decimal(0))
        if abs(missing.left) >= abs(held) or held * missing.left < 0:
            return
        account, at_ns = self._account, missing.at_ns
        since_ns = at_ns - _OLDEST_PX_NS
        px = await self._writer.last_price(account.venue, place.instrument, since_ns, at_ns)
        claim = vanished_claim(
            account.venue, account.account, place.instrument, place.side,
            held=held, left=missing.left, px=px, at_ns=sure_ns,
        )  # fmt: skip
        name = f"vanished/{place.instrument}/{place.side}/{at_ns}"
        batch_id = batch_id_of(account.venue, account.account, name)
        await self._writer.begin(self._opening(batch_id, "a position that vanished"))
        await self._writer.append(Page(batch_id=batch_id, claims=[claim], cursor=str(at_ns)))
        self._missing.pop(place, None)
        self._closed[place] = Closed(place, batch_id, held - missing.left)
        await self._remember()
        at = "no price is known" if px is None else f"closed at {plain_text(px)}, last observed"
        self._say(
            f"! {account.label}: {_name(place)}: {plain_text(abs(held - missing.left))} went away "
            f"without a fill; {at}"
        )

    async def _came_back(self, closed: Closed, ours: Decimal, theirs: Decimal) -> None:
        """Take a close back when the venue states the very position again, twice, without fills."""
        if ours or theirs != closed.qty:
            if ours == theirs:
                self._closed.pop(closed.place)
                await self._remember()
            return
        looks = self._back[closed.place] = self._back.get(closed.place, 0) + 1
        if looks < 2:
            return
        await self._writer.retract(closed.batch_id, "the venue states the position again")
        del self._closed[closed.place], self._back[closed.place]
        await self._remember()
        self._say(
            f"! {self._account.label}: {_name(closed.place)}: the venue states it again; "
            "its close is taken back"
        )

    # -- across restarts -------------------------------------------------------------------

    async def _restore(self) -> None:
        resume = await self._writer.begin(self._opening(self._memory(), "positions once stated"))
        kept = _State()
        if resume.cursor:
            # A memory of another form is none: what is open will be stated again.
            with contextlib.suppress(msgspec.DecodeError):
                kept = msgspec.json.decode(resume.cursor, type=_State)
        self._stated = set(kept.stated)
        self._closed = {each.place: each for each in kept.closed}

    async def _remember(self) -> None:
        kept = _State(sorted(self._stated or ()), [c for _, c in sorted(self._closed.items())])
        cursor = msgspec.json.encode(kept).decode()
        await self._writer.append(Page(batch_id=self._memory(), claims=(), cursor=cursor))

    def _memory(self) -> str:
        return batch_id_of(self._account.venue, self._account.account, "stated")

    def _opening(self, batch_id: str, name: str) -> BatchOpen:
        account = self._account
        return BatchOpen(
            batch_id=batch_id,
            source=SOURCE,
            rank=RANK_OBSERVED,
            venue=account.venue,
            account=account.account,
            fingerprint="",
            name=f"{account.venue} {name}",
        )


def fills_until(pagers: Iterable[Pager], instrument: str) -> int:
    """Return up to which instant every stream that could tell fills of a product was read.

    0 where one was not read at all, or nobody could tell.
    """
    told = [
        pager.health.covered_until_ns or 0
        for pager in pagers
        if "fills" in pager.stream.components and pager.stream.instrument in (None, instrument)
    ]
    return min(told, default=0)


def _position(group: GroupLedger) -> Decimal:
    held = group.venue.outputs.position_after
    return from_scaled(int(held[len(group) - 1]), group.columns.terms.qty_scale)


def _name(place: Place) -> str:
    return place.instrument if place.side == "net" else f"{place.instrument} {place.side}"
