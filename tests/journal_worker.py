"""A process that imports numbered fills into a book, to be killed at any moment.

Usage: journal_worker.py BOOK BATCH FIRST LAST PAGE. It says `go` before it touches the book and
the cursor of each page once that page is acknowledged.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fillbook.ground.errors import InputError
from fillbook.journal.store import Journal, Page
from journal_books import START_NS, batch, fill, final


def opened(path: Path) -> Journal:
    if not path.exists():
        try:
            return Journal.create(path)
        except InputError:  # another worker was faster
            pass
    return Journal.open(path)


def main() -> None:
    path, name = Path(sys.argv[1]), sys.argv[2]
    first, last, size = (int(number) for number in sys.argv[3:])
    print("go", flush=True)
    with opened(path) as journal:
        resume = journal.begin(batch(name), START_NS)
        at = int(resume.cursor or first)
        while not resume.complete and at <= last:
            end = min(at + size, last)
            claims = [fill(number, row=number % 5) for number in range(at, end)]
            done = final(name, last - first) if end == last else None
            journal.append(
                Page(batch_id=name, claims=claims, cursor=str(end), final=done), START_NS
            )
            print(end, flush=True)
            at = end if done is None else last + 1


if __name__ == "__main__":
    main()
