"""Walks through time: nothing is jumped over, whatever the pages, the windows and the clocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.sources.cursors import (
    BEYOND_RETENTION,
    TimeCursor,
    begin_walk,
    by_parts,
    read_cursor,
    smaller,
    step,
    window_of,
)

GRAIN = 10
Rows = list[tuple[int, str]]


def walked(
    rows: Rows, first: str, asked_ns: int, page: int, most_ns: int, parts: tuple[str, ...]
) -> tuple[set[int], list[tuple[int, int]], str]:
    """Walk one round over rows (time, part) that are visible at `asked_ns`.

    Return the positions of what was read, what was said to be complete, and the last cursor.
    """
    visible = sorted((at, n) for n, (at, _) in enumerate(rows) if at <= asked_ns)
    read: set[int] = set()
    covered: list[tuple[int, int]] = []
    text = first
    for _ in range(1000):
        cursor = read_cursor(text)
        start, end = window_of(cursor, most_ns, GRAIN)
        part = cursor.parts[0] if cursor.parts else None
        wanted = [(at, n) for at, n in visible if start <= at < end and part in (None, rows[n][1])]
        answer = wanted[:page]
        read |= {n for _, n in answer}
        full = len(answer) == page
        times = [at for at, _ in answer]
        on = step(cursor, times, full, asked_ns, grain_ns=GRAIN, most_ns=most_ns)
        if on.covered_from_ns is not None and on.covered_until_ns is not None:
            covered.append((on.covered_from_ns, on.covered_until_ns))
        if on.stuck:
            narrower = by_parts(text, parts)
            assert narrower is not None
            text = narrower
        elif on.more:
            text = on.next_cursor
        else:
            return read, covered, on.next_cursor
    raise AssertionError("the walk does not end")


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abcd")), max_size=60),
    st.sampled_from([0, 70, 130]),
    st.integers(-300, 300),
    st.integers(0, 60),
)
def test_every_row_that_was_visible_is_read_and_what_is_called_complete_is(
    rows: Rows, most_ns: int, wrong_ns: int, overlap_ns: int
) -> None:
    parts = tuple("abcd")
    busiest = max([sum(r == row for r in rows) for row in rows], default=0)
    # Instants are one grain wide here, so a page must hold what one part has in one grain.
    grains = [(at // GRAIN, part) for at, part in rows]
    page = max([grains.count(g) for g in grains], default=busiest) + 1
    read: set[int] = set()
    text: str | None = None
    reached = 0
    for asked_ns in (150, 290, 410, 430):
        # Our clock is wrong, and says where the round should end; the venue's says what is there.
        first = begin_walk(text, max(0, asked_ns + wrong_ns), overlap_ns, 0)
        more, covered, text = walked(rows, first, asked_ns, page, most_ns, parts)
        read |= more
        for start, end in covered:
            assert start <= reached, "a hole between two rounds"
            assert end <= asked_ns
            reached = max(reached, end)
            missing = [n for n, (at, _) in enumerate(rows) if start <= at < end and n not in read]
            assert not missing
    if wrong_ns >= 0:
        assert reached == 430
        assert read == set(range(len(rows)))


def test_what_is_older_than_retention_is_a_gap_once() -> None:
    text = begin_walk(TimeCursor(from_ns=100, until_ns=200).text(), 1000, 50, 400)
    assert read_cursor(text).from_ns == 400
    first = step(read_cursor(text), [], False, 1000, grain_ns=GRAIN, most_ns=300)
    assert first.gap is not None
    assert (first.gap.from_ns, first.gap.until_ns) == (100, 400)
    assert first.gap.cause == BEYOND_RETENTION
    second = step(read_cursor(first.next_cursor), [], False, 1000, grain_ns=GRAIN, most_ns=300)
    assert second.gap is None


def test_a_first_walk_begins_where_retention_does_and_loses_nothing() -> None:
    cursor = read_cursor(begin_walk(None, 1000, 50, 400))
    assert (cursor.from_ns, cursor.until_ns, cursor.lost_ns) == (400, 1000, None)


def test_an_interrupted_walk_still_knows_what_was_lost() -> None:
    lost = begin_walk(TimeCursor(from_ns=100, until_ns=200).text(), 1000, 0, 400)
    again = read_cursor(begin_walk(lost, 1100, 0, 450))
    assert (again.lost_ns, again.from_ns) == (100, 450)


def test_a_crowded_instant_is_cut_by_parts_only_once_and_not_into_one() -> None:
    text = TimeCursor(from_ns=100, until_ns=200).text()
    assert by_parts(text, ["only"]) is None
    parted = by_parts(text, ["b", "a"])
    assert parted is not None
    assert read_cursor(parted).parts == ("a", "b")
    assert window_of(read_cursor(parted), 0, GRAIN) == (100, 110)
    assert by_parts(parted, ["a", "b"]) is None


def test_windows_are_halved_down_to_one_grain() -> None:
    text: str | None = TimeCursor(from_ns=100, until_ns=500).text()
    widths = []
    while text is not None:
        start, end = window_of(read_cursor(text), 0, GRAIN)
        widths.append(end - start)
        text = smaller(text, 0, GRAIN)
    assert widths == [400, 200, 100, 50, 20, 10]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"from_ns":"x","until_ns":1}', "17"])
def test_a_cursor_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_cursor(text)
