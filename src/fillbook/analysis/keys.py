"""Keys that could trade and were accepted: what the book says of them for ever.

The journal keeps each as a batch of its own, opened when the key was accepted. Removing the
setting, rotating the key or retracting the batch changes nothing about what was.
"""

from __future__ import annotations

from collections.abc import Iterable

from fillbook.facts.finding import Finding
from fillbook.ground.clock import day_of
from fillbook.journal.store import Journal
from fillbook.journal.values import Labelled

TRADING_KEY = "a key that can trade"
"""The label of the batch that remembers such a key in the book."""

NEXT_STEP = (
    "if that key is still in use, make one that can only read and remove accept_trading_key "
    "(docs/attaching.md); this stays said, because for that time only Fillbook kept its promise"
)


def book_findings(journal: Journal, as_of: int | None = None) -> list[Finding]:
    """Return what a book says of itself: what opening it found, and every exception that was
    accepted by `as_of`."""
    return [*journal.findings, *key_findings(journal.labelled(TRADING_KEY, as_of))]


def key_findings(opened: Iterable[Labelled]) -> list[Finding]:
    """Return one finding per key that could trade, also of keys that are long gone.

    They carry no instant, so that no window hides them.
    """
    first: dict[str, Labelled] = {}
    for batch in opened:
        first.setdefault(batch.said.batch_id, batch)
    return [
        Finding(
            code="key-can-trade",
            severity="warning",
            message=f"the {batch.said.venue} account {batch.said.account} was attached on "
            f"{day_of(batch.opened_ns)} with {TRADING_KEY}: {batch.said.name}",
            next_step=NEXT_STEP,
            venue=batch.said.venue,
            account=batch.said.account,
        )
        for batch in first.values()
    ]
