"""Where the book meets its head file, on opening: what agrees, what is lost, what contradicts."""

from __future__ import annotations

from fillbook.facts.finding import Finding
from fillbook.ground.errors import BookDamagedError
from fillbook.journal.anchor import Anchor, HeadLine
from fillbook.journal.batches import opened
from fillbook.journal.chain import genesis
from fillbook.journal.sheets import checked_pages, epoch_of, resealed
from fillbook.journal.sqlite import RESTORE
from fillbook.journal.tables import BookFile, PageRow


def meet(file: BookFile, anchor: Anchor, line: HeadLine | None) -> list[Finding]:
    """Check the last page and compare the book with the newest line of its head file.

    `line` must have been read before the book. BookDamagedError when the two contradict each
    other; a finding when the book only knows less, or has no head file.
    """
    last = file.newest_page()
    if last is not None:
        _check_last(file, last)
    if line is None:
        return [missing(anchor)]
    if line.book_id != file.book_id():
        raise BookDamagedError(
            "the head file belongs to another book", str(anchor.path), "put the right one back"
        )
    newest = last.page if last else 0
    known = line if line.page <= newest else _line_of(anchor, newest)
    if known is not None and contradicts(file, known):
        raise BookDamagedError(
            f"page {known.page} of the book is not the one its head file knows",
            str(file.path),
            RESTORE,
        )
    return [behind(line, last.last_seq if last else 0)] if line.page > newest else []


def contradicts(file: BookFile, line: HeadLine) -> bool:
    """Tell whether the book denies a line of its head file that it should know."""
    page = file.page(line.page)
    if page is not None:
        return page.hash.hex() != line.hash or page.last_seq != line.seq
    if line.page == 0:
        return genesis(file.book_id()).hex() != line.hash
    # Missing pages are forgiven where an epoch, which skips their numbers, has named them lost.
    following = file.page_after(line.page)
    if following is None:
        return True
    sheets = checked_pages(file, line.page, following.page)
    return all(epoch_of(page, sheet) is None for page, sheet in sheets)


def missing(anchor: Anchor) -> Finding:
    """Say that no head file guards the book."""
    return Finding(
        code="head-file-missing",
        severity="warning",
        message="the book has no readable head file, so lost pages would go unnoticed",
        next_step=f"put {anchor.path.name} back beside the book; else the next write makes one",
    )


def behind(line: HeadLine, seq: int) -> Finding:
    """Say what the head file knows and the book does not."""
    lost = f"rows {seq + 1} to {line.seq}" if line.seq > seq else "the newest cursor"
    return Finding(
        code="book-behind-head-file",
        severity="error",
        message=f"the book lost {lost}: its head file knows page {line.page}",
        next_step="restore the newest backup, or import the same sources again;"
        " the next write will record the loss",
        touches=("net", "made_money"),
    )


def _check_last(file: BookFile, last: PageRow) -> None:
    for _ in checked_pages(file, last.page - 1, last.page):
        pass  # reading is checking
    before = file.page_before(last.page)
    previous = before.hash if before else genesis(file.book_id())
    digests = {b.number: b.digest for b in opened(file, last.last_seq)}
    digest = "" if last.batch is None else digests.get(last.batch, "?")
    if resealed(last, previous, digest, file.raw(last.page)) != last.hash:
        raise BookDamagedError(
            f"page {last.page} is not what was written: its header or raw text was changed",
            str(file.path),
            RESTORE,
        )


def _line_of(anchor: Anchor, page: int) -> HeadLine | None:
    return next((line for _, line in anchor.lines() if line and line.page == page), None)
