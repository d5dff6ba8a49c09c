"""`fillbook verify`: prove a book, even one too damaged to open, and say what was checked."""

from __future__ import annotations

from fillbook.cli.findings import show_findings
from fillbook.cli.opening import Place, opened_book, require_book
from fillbook.cli.page import Page
from fillbook.cli.progress import progress
from fillbook.cli.shapes import Verified
from fillbook.ground.errors import BookDamagedError
from fillbook.journal.store import verify_book
from fillbook.sources.files.registry import reparse


def verified(place: Place) -> Verified:
    """Recompute everything the book says about itself."""
    require_book(place)
    with progress("verifying") as report:
        found = tuple(verify_book(place.book, reparse, report))
    try:
        with opened_book(place, readonly=True) as (journal, _):
            head, batches = journal.head(), journal.batches()
    except BookDamagedError:
        return Verified(
            book_id=None, seq=None, head=None, batches=None, claims=None, findings=found
        )
    return Verified(
        book_id=head.book_id,
        seq=head.seq,
        head=head.hash,
        batches=len(batches),
        claims=sum(batch.rows for batch in batches if not batch.retracted),
        findings=found,
    )


def show_verified(page: Page, answer: Verified, place: Place) -> None:
    """Write the verdict, what it rests on, and what was found."""
    state = "intact" if not answer.findings else "NOT intact"
    page.line(f"{place.book}: {state}", "strong")
    if answer.seq is not None:
        page.line(
            f"Checked seq 1 to {answer.seq:,}: the chain of page hashes, the head file beside the"
            f" book, every row and reference, and {answer.claims:,} rows of"
            f" {answer.batches:,} batches parsed again from their raw text.",
            rest="  ",
        )
        page.line(f"Book {answer.book_id}, head {answer.head}.", "quiet")
    else:
        page.line("The book is too damaged to be opened; nothing is answered from it.")
    show_findings(page, answer.findings, about="this book")
