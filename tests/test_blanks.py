"""Columns that say nothing are one column; what a group tells stays the same."""

from __future__ import annotations

import numpy as np

from fillbook.facts.model import Claim
from fillbook.ledger.blanks import shared
from fillbook.ledger.building import columns_of
from fillbook.ledger.group import fold_columns
from fillbook.ledger.ledger import fold_claims
from fillbook.ledger.refold import same_columns
from fillbook.ledger.running import SHORT_ROWS
from fillbook.resolve.claims import resolve
from strategies import HOUR, Import, fill, market, remember


def test_a_column_that_says_something_stays_its_own() -> None:
    for told in ([0, 1], [-1, 0], [-1, -2]):
        column = np.array(told)
        assert shared(column) is column
    texts = ["", None]
    assert shared(texts) is texts


def test_blank_columns_of_one_shape_and_type_are_one_and_cannot_be_written() -> None:
    nothing, none = shared(np.zeros((3, 2), np.int64)), shared(np.full(3, -1, np.int32))
    assert nothing is shared(np.zeros((3, 2), np.int64)) and not nothing.flags.writeable
    assert nothing.dtype == np.int64 and nothing.tolist() == [[0, 0]] * 3
    assert none.dtype == np.int32 and none.tolist() == [-1, -1, -1]
    assert shared(np.zeros(3, np.int32)) is not none
    assert shared([None, None]) is shared([None, None])
    long = np.zeros(SHORT_ROWS + 1, np.int64)
    assert shared(long) is long


def test_groups_that_say_the_same_nothing_share_it_and_keep_what_they_say() -> None:
    claims = remember(Import([market("A"), market("B"), *_opening("A"), *_opening("B")]))
    groups = fold_claims(claims).groups
    plain = [fold_columns(columns_of(group), "average") for group in resolve(claims).groups]
    one, other = groups
    assert one.columns.foreign is other.columns.foreign
    assert one.books.outputs.funding is other.books.outputs.funding
    assert one.columns.seq is not other.columns.seq
    for told, wanted in zip(groups, plain, strict=True):
        assert told.digest() == wanted.digest()
        assert same_columns(told.columns, wanted.columns)
        assert told.books.state == wanted.books.state


def _opening(name: str) -> list[Claim]:
    """Buy twice."""
    return [
        fill(hour * HOUR, "buy", "1", "100", instrument=name, key=f"{name}{hour}")
        for hour in (1, 2)
    ]
