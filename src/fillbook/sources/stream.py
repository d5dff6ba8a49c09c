"""What every live source speaks: asks and answers, streams and their pages, accounts.

A *stream* is one history of a venue, read page by page behind a cursor: Hyperliquid fills, the
funding income of a Binance account, the trades of one symbol. REST history is the truth; a
websocket only says which stream to pull now. A venue is one module that implements `Stream` and
`LiveAccount`; everything that is the same for all venues stands in `pager`, `transport`,
`budget` and `rights`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from fillbook.facts.finding import Finding
from fillbook.facts.model import Component
from fillbook.journal.values import Appended, BatchOpen, Page, Resume
from fillbook.marks.series import Mark
from fillbook.sources.source import Drafted, RowError

Auth = Literal["none", "key", "signed"]
"""Nothing; the key's name in a header only; a signature or token made for this request."""

Headers = Mapping[str, str]
"""Header names in lower case."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One read of a venue, before it is signed.

    `name` says what is read, for messages, budgets and figures; it holds no account and no
    symbol. `host` is the role of a host in the venue's list of reads ("fapi", "sapi"). `query`
    keeps its order; `body` is exact JSON text. `weight` is the most this read can cost.
    """

    name: str
    method: Literal["GET", "POST", "PUT"] = "GET"
    host: str = "api"
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: str = ""
    weight: int = 1
    auth: Auth = "none"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue sent back: complete, decoded, with a status below 300.

    `asked_ns` is when the question left, on the *venue's* clock as far as it is known: the
    answer holds everything the venue had made visible by then. `told_ns` is when the answer was
    here, on the venue's clock at the latest; `received_ns` is our own clock.
    """

    status: int
    text: str
    headers: Headers
    asked_ns: int
    told_ns: int
    received_ns: int


class PulledRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of an answer: the venue's own text, and what it says.

    `raw` is exactly what the stream's `source` reader can parse again. `fault` instead of drafts
    means the row cannot be read: the stream halts in front of it, the text is kept in the gap.
    """

    raw: str
    drafts: tuple[Drafted, ...] = ()
    fault: RowError | None = None


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch [from_ns, until_ns) that cannot be had, and why, in a few plain words."""

    from_ns: int
    until_ns: int
    cause: str


class PulledPage(msgspec.Struct, frozen=True, kw_only=True):
    """One answer of a stream, parsed.

    `next_cursor` stands behind this page and is journaled with it; `more` means: ask again now.
    [covered_from_ns, covered_until_ns) is what is complete once this page and those before it in
    the round are journaled; both None when that is not known yet. `stuck`: the page is full and
    all of one instant, so that no cursor of time can get past it. `gap`: something the venue
    itself no longer has.
    """

    rows: tuple[PulledRow, ...]
    next_cursor: str
    more: bool
    covered_from_ns: int | None = None
    covered_until_ns: int | None = None
    stuck: bool = False
    gap: Gap | None = None


class Stream(Protocol):
    """One history of one account. Pure: it builds asks and parses answers, and keeps no state.

    `name` is unique in the account and stable for ever ("fills", "trades/BTCUSDT"): the batch is
    `live:<venue>:<account>:<name>`. `source` is the name of the reader that parses `raw` again
    and whose files hold the same claims; `context` is what that reader's `reparse` needs.
    `components` is what a covered interval is complete in, for `instrument` (None: the whole
    account). `every_ns` is how often to pull without a nudge; `overlap_ns` is re-read each time,
    because rows may appear late; `deep_ns` once a day.

    A cursor is text that the stream alone understands; its form may gain fields, never change.
    """

    @property
    def name(self) -> str:
        """Return the stable name."""
        ...

    @property
    def source(self) -> str:
        """Return the reader that parses `raw` again."""
        ...

    @property
    def context(self) -> str:
        """Return JSON text for the reader's `reparse`."""
        ...

    @property
    def components(self) -> tuple[Component, ...]:
        """Return what covered intervals are complete in."""
        ...

    @property
    def instrument(self) -> str | None:
        """Return the instrument, or None for the whole account."""
        ...

    @property
    def every_ns(self) -> int:
        """Return how often to pull without a nudge."""
        ...

    @property
    def overlap_ns(self) -> int:
        """Return how far behind the cursor every round begins."""
        ...

    @property
    def deep_ns(self) -> int:
        """Return how far behind the cursor the daily round begins."""
        ...

    def begin(self, cursor: str | None, now_ns: int, overlap_ns: int) -> str:
        """Return the first cursor of a round that re-reads `overlap_ns` and ends at `now_ns`.

        `cursor` is the last one journaled; None means never pulled: begin where the venue's
        retention does. `now_ns` is the venue's clock. ValueError for a cursor of unknown form.
        Any cursor may be the last one journaled, also one from the middle of a round: begin
        where nothing is missing, whatever order the venue sends its pages in.
        """
        ...

    def ask(self, cursor: str, now_ns: int) -> Ask:
        """Return the read that fetches the page behind a cursor."""
        ...

    def parse(self, answer: Answer, cursor: str) -> PulledPage:
        """Parse the answer to `ask(cursor)`.

        A row that cannot be read is a `PulledRow` with its fault. BrokenAnswerError when the
        answer is not of the expected shape at all.
        """
        ...

    def narrow(self, cursor: str) -> str | None:
        """Return a cursor that cuts a stuck page smaller (by instrument, by type), or None."""
        ...


class KeyRights(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue says a key may do, as the venue spells it; `raw` is its answer.

    `subject` is what was looked at: the last characters of a key, or an address. `role` is the
    venue's word for an address ("user", "subAccount", "agent"), where there is one.
    """

    venue: str
    subject: str
    rights: dict[str, bool]
    role: str | None = None
    notes: tuple[str, ...] = ()
    raw: str = ""


class AttachEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """What the first attach will cost, said before it begins.

    `asks` and `weight` are upper bounds where the venue does not tell how much there is
    (`exact` False). `beyond` names, stream by stream, what lies outside the venue's retention
    and which export fills that hole.
    """

    venue: str
    account: str
    asks: int
    weight: int
    duration_ns: int
    share_ratio: float
    exact: bool = False
    beyond: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The open positions of an account (and its equity, where told) at one instant.

    Rows hold Report facts ("position", "equity"); a position that is absent is flat. `source`
    and `context` are as in `Stream`. `marks` are the prices the same answers carried. Of the
    instruments `listed` absence proves that nothing is open. The answers were made somewhere in
    [asked_ns, told_ns] on the venue's clock.
    """

    source: str
    context: str
    asked_ns: int
    told_ns: int
    rows: tuple[PulledRow, ...]
    marks: tuple[Mark, ...] = ()
    listed: frozenset[str] = frozenset()


class Nudge(msgspec.Struct, frozen=True, kw_only=True):
    """A hint that something happened: pull these streams now; none named means all."""

    streams: tuple[str, ...] = ()
    why: str = ""


class BudgetUse(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a venue's rate limit is in use: our spending and our allowance per window.

    `limit` is the venue's whole limit; `seen` what the venue itself last said was used by
    everybody behind this address. `paused_ns` is how long we still hold back.
    """

    venue: str
    limit: int
    allowance: int
    spent: int
    window_ns: int
    seen: int | None = None
    paused_ns: int = 0
    limited_count: int = 0
    banned_count: int = 0


class LiveAccount(Protocol):
    """One account of a venue, attached read-only. Its async methods may raise SourceError."""

    @property
    def venue(self) -> str:
        """Return the venue's name."""
        ...

    @property
    def account(self) -> str:
        """Return the venue's uid or address; known after `identify`."""
        ...

    @property
    def label(self) -> str:
        """Return the readable name."""
        ...

    async def identify(self) -> str:
        """Ask the venue who this is and return the account; a rotated key gives the same."""
        ...

    async def rights(self) -> KeyRights:
        """Ask the venue what the key may do."""
        ...

    async def estimate(self, now_ns: int) -> AttachEstimate:
        """Say what the first attach will take; asks as little as possible."""
        ...

    async def discover(self, known: Collection[str], now_ns: int) -> Sequence[Stream]:
        """Return every stream to pull from now on.

        `known` are the instruments the book has seen in this account. Called at the start and
        again now and then: an instrument traded for the first time adds a stream.
        """
        ...

    async def read(self, ask: Ask, *, background: bool = False) -> Answer:
        """Send one read through the transport; `background` leaves room for live reads."""
        ...

    def venue_now_ns(self) -> int:
        """Return the time on the venue's clock, as far as it is known."""
        ...

    async def positions(self, now_ns: int) -> Snapshot:
        """Return all open positions; one call per account, however many there are."""
        ...

    async def marks(self, instruments: Collection[str], now_ns: int) -> Sequence[Mark]:
        """Return prices of these instruments now; none where `positions` brings them."""
        ...

    def trigger(self) -> AsyncIterator[Nudge]:
        """Yield nudges from the venue's websocket for ever, reconnecting by itself.

        A silent socket is reconnected at its liveness deadline; each reconnection is a nudge for
        everything. Cancelling the task that waits on it closes the socket.
        """
        ...

    def usage(self) -> Sequence[BudgetUse]:
        """Return how much of each rate limit is in use."""
        ...

    def findings(self) -> Sequence[Finding]:
        """Return what a person should know about this source now (skew, retention near)."""
        ...

    async def close(self) -> None:
        """Close connections; closing twice is harmless."""
        ...


class JournalWriter(Protocol):
    """The way into the book for coroutines: one writer, a bounded queue, durable on return.

    A call returns when its page is on disk. Cancelling a call does not undo it: it may still be
    written, which is harmless, because a page is pulled again behind the journaled cursor.
    """

    async def begin(self, batch: BatchOpen) -> Resume:
        """Open a batch, or find where it stopped."""
        ...

    async def append(self, page: Page) -> Appended:
        """Remember one page with its cursor."""
        ...

    async def put_marks(self, marks: Sequence[Mark]) -> None:
        """Keep prices beside the book."""
        ...
