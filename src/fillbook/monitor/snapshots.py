"""Open positions as the venue states them: journaled when they change, their marks always.

One call per account and poll, however many positions are open. A position that was there and is
no longer is stated flat, so that the book knows when it was last seen. The first look of a run is
journaled whole, as a snapshot, and so is the first that covers more instruments: with it the book
knows what was open before its fills begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from fillbook.facts.identity import key_of
from fillbook.facts.model import Claim, Held, Instrument, PositionSide, Report
from fillbook.journal.values import BatchOpen, Page
from fillbook.marks.series import Mark
from fillbook.sources.drafting import Drafting
from fillbook.sources.source import RANK_API
from fillbook.sources.stream import JournalWriter, LiveAccount, Snapshot
from fillbook.sources.streambook import batch_id_of

Place = tuple[str, str | None, PositionSide]


class SnapshotBook:
    """What one account's positions were last time, and the way of a change into the book."""

    def __init__(self, account: LiveAccount, writer: JournalWriter) -> None:
        self._account = account
        self._writer = writer
        self._drafting = Drafting()
        self._seen: dict[Place, Report] = {}
        self._opened = False
        self._again: set[Place] = set()
        self._whole_is_due = True
        self._listed: frozenset[str] = frozenset()
        self.open_positions: list[Report] = []
        self.asked_ns: int | None = None
        self.calls = 0

    async def look(self, now_ns: int) -> list[Report]:
        """Ask the venue once, keep marks and changes, and return the open positions."""
        snapshot = await self._account.positions(now_ns)
        self.calls += 1
        self.asked_ns = snapshot.asked_ns
        claims, marks, _ = self._drafting.claims(snapshot.rows)
        reports = [claim.fact for claim in claims if isinstance(claim.fact, Report)]
        self.open_positions = [
            report for report in reports if report.what == "position" and report.qty
        ]
        await self._writer.put_marks([*snapshot.marks, *marks, *_marks_of(reports)])
        said_again = set(self._again)
        is_whole = self._whole_is_due or not snapshot.listed <= self._listed
        changed = [claim for claim in claims if is_whole or self._is_news(claim)]
        flat = [self._flat(place, snapshot) for place in self._gone(reports)]
        whole = [self._whole(snapshot, reports)] if is_whole else []
        if changed or flat or whole:
            await self._write([*changed, *flat, *whole], snapshot)
            self._drafting.remember(each for each in changed if isinstance(each.fact, Instrument))
            for claim in (*changed, *flat):
                if isinstance(claim.fact, Report):
                    self._seen[_place(claim.fact)] = claim.fact
        self._again -= said_again
        self._whole_is_due = self._whole_is_due and not is_whole
        self._listed |= snapshot.listed
        return self.open_positions

    def say_all_again(self) -> None:
        """Let the next look put everything that is open into the book, changed or not."""
        self._whole_is_due = True

    def say_again(self, instrument: str, position_side: PositionSide) -> None:
        """Let the next look put this position into the book though it has not changed."""
        place: Place = ("position", instrument, position_side)
        if place not in self._seen:
            account = self._account
            self._seen[place] = Report(
                venue=account.venue,
                account=account.account,
                ts_ns=0,
                what="position",
                instrument=instrument,
                position_side=position_side,
            )
        self._again.add(place)

    def said_ns(self, instrument: str, position_side: PositionSide) -> int:
        """Return of when the last statement of a position in the book is, 0 for none."""
        last = self._seen.get(("position", instrument, position_side))
        return 0 if last is None else last.ts_ns

    def _is_news(self, claim: Claim) -> bool:
        report = claim.fact
        if not isinstance(report, Report):
            return True
        last = self._seen.get(_place(report))
        if _place(report) in self._again:
            return True
        # Marks move all the time; a statement is news when the quantity or the equity changed.
        return last is None or (last.qty, last.amount) != (report.qty, report.amount)

    def _whole(self, snapshot: Snapshot, reports: Sequence[Report]) -> Claim:
        """State all positions at once, and between when and when they were told."""
        account, at_ns = self._account, snapshot.asked_ns
        held = [each for each in reports if each.what == "position"]
        until_ns = max([snapshot.told_ns + 1, *(each.ts_ns + each.printed_ns for each in held)])
        whole = Report(
            venue=account.venue,
            account=account.account,
            ts_ns=at_ns,
            printed_ns=until_ns - at_ns,
            what="snapshot",
            held=tuple(
                Held(instrument=each.instrument, qty=each.qty, position_side=each.position_side)
                for each in held
                if each.instrument and each.qty
            ),
            listed=tuple(sorted(snapshot.listed)),
        )
        return Claim(whole, key_of(at_ns, "snapshot", at_ns), "")

    def _gone(self, reports: Sequence[Report]) -> list[Place]:
        present = {_place(report) for report in reports}
        return [
            place
            for place, last in self._seen.items()
            if last.what == "position" and place not in present
            if last.qty or place in self._again
        ]

    def _flat(self, place: Place, snapshot: Snapshot) -> Claim:
        last = self._seen[place]
        flat = msgspec.structs.replace(last, ts_ns=snapshot.asked_ns, qty=Decimal(0), px=None)
        key = key_of(flat.ts_ns, "position", flat.instrument, flat.position_side, flat.ts_ns)
        return Claim(flat, key, "")

    async def _write(self, claims: Sequence[Claim], snapshot: Snapshot) -> None:
        account = self._account
        batch_id = batch_id_of(account.venue, account.account, "positions")
        if not self._opened:
            await self._writer.begin(
                BatchOpen(
                    batch_id=batch_id,
                    source=snapshot.source,
                    rank=RANK_API,
                    venue=account.venue,
                    account=account.account,
                    fingerprint="",
                    name=f"{account.venue} positions, live",
                    context=snapshot.context,
                )
            )
            self._opened = True
        await self._writer.append(
            Page(batch_id=batch_id, claims=claims, cursor=str(snapshot.asked_ns))
        )


def _place(report: Report) -> Place:
    return report.what, report.instrument, report.position_side


def _marks_of(reports: Sequence[Report]) -> list[Mark]:
    """Take the mark that a position statement carries, where it does."""
    return [
        Mark(report.venue, report.instrument, report.ts_ns, report.px, "mark", "positions")
        for report in reports
        if report.what == "position" and report.instrument and report.px is not None
    ]
