"""`fillbook daily`: the log line of a day, and its two files."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec

from fillbook.cli.opening import folded
from fillbook.cli.options import Asked
from fillbook.cli.page import print_json
from fillbook.cli.shapes import Listing
from fillbook.ground.days import Days
from fillbook.ground.errors import UsageError


def tell_day(asked: Asked, day: str, out: Path | None) -> None:
    """Print the day's log line, one per account and currency; with `out` write the files."""
    from fillbook.analysis import summary
    from fillbook.publish.daily import to_json, to_log_line, write_all

    try:
        Days().bounds(day)
    except ValueError:
        raise UsageError(f"{day!r} is not a day", "DATE", "write it as 2026-01-31") from None
    with folded(asked) as (view, query, place):
        wanted = query.accounts
        records = [r for r in summary.daily(view, day) if not wanted or r.account in wanted]
    written = write_all(records, out) if out is not None else []
    if written:
        records = [
            msgspec.structs.replace(record, revision=files.revision)
            for record, files in zip(records, written, strict=True)
        ]
    if asked.json:
        documents = tuple(msgspec.Raw(to_json(record)) for record in records)
        print_json(Listing(seq=view.seq, rows=documents))
    else:
        for record in records:
            if len(records) > 1:
                print(f"{place.settings.label(record.account)} {record.currency}:")
            print(to_log_line(record))
    for files in written:
        did = "wrote" if files.changed else "nothing new in"
        print(f"{did} {files.json}\n{did} {files.csv}", file=sys.stderr)
