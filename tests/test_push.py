"""What bots push: read, refused with a reason, remembered once; files followed as they grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fillbook.facts.model import Assignment, Decision, OrderUpdate, Vote
from fillbook.journal.store import Journal
from fillbook.ledger.ledger import fold_claims
from fillbook.sources.files.registry import reparse
from fillbook.sources.intake import Followed, Intake, follow
from fillbook.sources.push import Accepted, Place, accept
from fillbook.sources.source import Rejected
from fillbook.sources.writing import DirectWriter

NOW_NS = 1_767_607_200_000_000_000
ORDER: dict[str, Any] = {
    "kind": "order",
    "time": "2026-01-05T10:00:00Z",
    "venue": "hyperliquid",
    "account": "0xabc",
    "instrument": "BTC",
    "status": "placed",
    "client_order_id": "mm-7",
    "side": "buy",
    "qty": "0.5",
    "expected_px": "100.5",
}
VOTE: dict[str, Any] = {
    "kind": "vote",
    "time": NOW_NS,
    "decision_id": "d",
    "agent": "a",
    "signal": "buy",
}
PLACE = {"venue": "hyperliquid", "account": "0xabc"}


def line(cells: dict[str, Any], **changes: Any) -> bytes:
    kept = {name: value for name, value in {**cells, **changes}.items() if value != "absent"}
    return json.dumps(kept).encode() + b"\n"


def fault_of(body: bytes) -> tuple[str | None, str]:
    told = accept(body)
    assert told.claims == ()
    (rejected,) = told.rejected
    return rejected.field, rejected.reason


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.create(tmp_path / "book.db") as journal:
        yield journal


# -- reading -------------------------------------------------------------------------------------


def test_an_order_keeps_everything_the_bot_said() -> None:
    (claim,) = accept(line(ORDER)).claims
    assert claim.fact == OrderUpdate(
        venue="hyperliquid",
        account="0xabc",
        ts_ns=NOW_NS,
        instrument="BTC",
        status="placed",
        client_order_id="mm-7",
        side="buy",
        qty=Decimal("0.5"),
        expected_px=Decimal("100.5"),
    )
    assert json.loads(claim.raw) == ORDER


def test_decisions_votes_and_assignments_are_read() -> None:
    place = PLACE | {"time": NOW_NS}
    bodies: list[dict[str, Any]] = [
        place | {"kind": "decision", "decision_id": "d", "instrument": "BTC", "action": "sell"},
        place | VOTE | {"confidence": "0.7"},
        place | {"kind": "assignment", "strategy": "fade", "order_id": "9"},
    ]
    told = accept(b"".join(line(body) for body in bodies))
    kinds = [type(claim.fact) for claim in told.claims]
    assert (kinds, told.rejected) == ([Decision, Vote, Assignment], ())


def test_a_json_number_is_read_by_its_digits() -> None:
    body = line(ORDER, qty="absent")[:-2] + b', "qty": 0.1000000000000000055511151231257827}\n'
    (claim,) = accept(body).claims
    assert isinstance(claim.fact, OrderUpdate)
    assert claim.fact.qty == Decimal("0.1000000000000000055511151231257827")


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"kind": "fill"}, "kind", "is none of decision, vote, order, assignment"),
        ({"kind": ["order"]}, "kind", "is none of"),
        ({"kind": "fill", "venue": "absent"}, "kind", "is none of"),
        ({"kind": "absent", "account": "absent"}, "kind", "is none of"),
        ({"time": "absent"}, "time", "is missing"),
        ({"time": "2026-01-05T10:00:00"}, "time", "zone"),
        ({"time": 1767607200000}, "time", "no time in nanoseconds"),
        ({"time": 1.5}, "time", "'1.5'"),
        ({"time": True}, "time", "neither text nor an integer"),
        ({"venue": "absent"}, "venue", "is missing"),
        ({"account": ""}, "account", "is missing"),
        ({"account": 7}, "account", "Expected `str`"),
        ({"instrument": "absent"}, "instrument", "missing required field"),
        ({"status": "maybe"}, "status", "Invalid enum value"),
        ({"client_order_id": "absent"}, "client_order_id", "names no order"),
        ({"qty": "-1"}, "qty", "not above zero"),
        ({"qty": "NaN"}, "qty", "not a decimal number"),
        ({"qty": "1e999999"}, "qty", "not a decimal number"),
        ({"qty": "1e70"}, "qty", "more than 60 digits"),
        ({"qty": 10**70}, "qty", "more than 60 digits"),
        ({"qty": [1]}, "qty", "is not a number"),
        ({"px": True}, "px", "is not a number"),
        ({"reduce_only": "yes"}, "reduce_only", "Expected `bool`"),
        ({"reason": "x" * 501}, "reason", "longer than 500"),
        ({"reason": "a\nb"}, "reason", "control characters"),
        ({"ts_ns": 1}, "ts_ns", "is not a field of order"),
        ({"fee": "1"}, "fee", "is not a field of order"),
    ],
)
def test_a_line_that_is_wrong_is_refused_with_its_field(
    changes: dict[str, Any], field: str, reason: str
) -> None:
    named, said = fault_of(line(ORDER, **changes))
    assert named == field
    assert reason in said


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not a line of JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"kind": "vote", "kind": "order"}', "names a field twice"),
        (b'{"kind": "order", "qty": NaN}', "NaN is not a number"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 100_000, "not a line of JSON"),
        (b"1" * 5000, "not a line of JSON"),
    ],
)
def test_what_is_no_line_at_all_is_refused(body: bytes, reason: str) -> None:
    assert reason in fault_of(body)[1]


def test_a_bad_line_does_not_stand_in_the_way_of_good_ones() -> None:
    told = accept(line(ORDER) + b"nonsense\n\n" + line(ORDER, status="filled"))
    assert [claim.line for claim in told.claims] == [1, 4]
    assert [rejected.line for rejected in told.rejected] == [2]


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_at_all_break_the_reader(body: bytes) -> None:
    told = accept(body, Place("v", "a"))
    lines = [one for one in body.split(b"\n") if one.strip()]
    assert len(told.claims) + len(told.rejected) == len(lines)


def test_a_label_stands_for_the_account_the_venue_knows() -> None:
    labels = {"swing": (Place("hyperliquid", "0xabc"),)}

    def whose(**changes: Any) -> tuple[str, str]:
        (claim,) = accept(line(ORDER, **changes), labels=labels).claims
        return claim.fact.venue, claim.fact.account

    assert whose(venue="absent", account="swing") == ("hyperliquid", "0xabc")
    assert whose(account="swing") == ("hyperliquid", "0xabc")
    assert whose(venue="binance", account="swing") == ("binance", "swing")
    given = accept(line(ORDER, venue="absent", account="absent"), Place("v", "a")).claims[0]
    assert (given.fact.venue, given.fact.account) == ("v", "a")


def test_a_label_of_an_account_of_no_certain_venue_needs_the_venue() -> None:
    labels = {"main": (Place(None, "0xabc"),)}
    (claim,) = accept(line(ORDER, venue="binance", account="main"), labels=labels).claims
    assert (claim.fact.venue, claim.fact.account) == ("binance", "0xabc")
    (rejected,) = accept(line(ORDER, venue="absent", account="main"), labels=labels).rejected
    assert (rejected.field, rejected.reason) == ("venue", "is missing")


def test_a_label_of_several_accounts_means_the_one_of_the_venue_or_none() -> None:
    """Reading commands add such accounts up; what a bot says must be about one."""
    both = (Place("hyperliquid", "0xabc"), Place("binance", "1001"))
    (claim,) = accept(line(ORDER, venue="binance", account="main"), labels={"main": both}).claims
    assert claim.fact.account == "1001"
    before = (Place(None, "0xold"), *both)
    told = accept(line(ORDER, venue="binance", account="main"), labels={"main": before})
    assert told.claims[0].fact.account == "1001"
    alike = (*both, Place("binance", "1002"))
    for venue in ("absent", "binance"):
        told = accept(line(ORDER, venue=venue, account="main"), labels={"main": alike})
        (rejected,) = told.rejected
        assert rejected.field == "account" and "several accounts" in rejected.reason


def test_two_updates_of_one_order_are_two_and_the_same_sent_again_is_one() -> None:
    bodies = [line(ORDER), line(ORDER, status="filled"), line(ORDER, time=NOW_NS + 1), line(ORDER)]
    keys = [claim.key for claim in accept(b"".join(bodies)).claims]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]


# -- into the book -------------------------------------------------------------------------------


def test_lines_are_in_the_book_once_however_often_they_come(journal: Journal) -> None:
    async def push() -> list[tuple[int, int, int]]:
        intake = Intake(DirectWriter(journal))
        body = line(ORDER) + line(PLACE | VOTE) + line(ORDER) + b"junk\n"
        counts = [await intake.take(body) for _ in range(3)]
        # A monitor that was started anew knows them as well.
        counts.append(await Intake(DirectWriter(journal)).take(body))
        return [(taken.accepted, taken.new, taken.refused) for taken in counts]

    assert asyncio.run(push()) == [(3, 2, 1), (3, 0, 1), (3, 0, 1), (3, 0, 1)]
    facts = [claim.fact for claim in journal.claims(kinds=["order", "vote"])]
    assert sorted(type(fact).__name__ for fact in facts) == ["OrderUpdate", "Vote"]


def test_what_was_pushed_is_read_again_alike_for_verify(journal: Journal) -> None:
    async def push() -> None:
        labels = {"swing": (Place("hyperliquid", "0xabc"),)}
        await Intake(DirectWriter(journal), lambda: labels).take(
            line(ORDER, venue="absent", account="swing")
        )

    asyncio.run(push())
    assert journal.verify(reparse) == []
    # The check itself can fail: a reader that says something else is noticed.
    assert journal.verify(lambda source, context, raw: [])


def test_pushed_orders_give_the_fill_rate_without_counting_twice(journal: Journal) -> None:
    bodies = []
    for number in range(20):
        name = {"client_order_id": f"o{number}"}
        bodies += [line(ORDER, **name), line(ORDER, **name, time=NOW_NS + 5)]
        if number < 16:
            bodies += [line(ORDER, **name, status="filled", time=NOW_NS + 9 + at) for at in (0, 1)]
    bodies.append(line(ORDER, client_order_id="stop", reduce_only=True))

    async def push() -> None:
        await Intake(DirectWriter(journal)).take(b"".join(bodies))

    asyncio.run(push())
    from fillbook.analysis.dayrecord import entry_orders

    ledger = fold_claims(journal.claims())
    assert entry_orders(ledger.orders, "0xabc", 0, 1 << 63) == (20, 16)


# -- files that grow -----------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.ndjson"


@pytest.fixture
def followed(path: Path) -> Iterator[Followed]:
    with Followed(path) as followed:
        yield followed


def test_a_file_is_read_line_by_line_as_it_grows(path: Path, followed: Followed) -> None:
    assert followed.news() == b""
    path.write_bytes(b"one\ntw")
    assert followed.news() == b"one\n"
    assert followed.news() == b""
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert followed.news() == b"two\nthree\n"


@pytest.mark.parametrize("how", ["replaced", "cut", "rewritten"])
def test_a_file_that_begins_anew_is_read_from_its_start(
    path: Path, followed: Followed, how: str
) -> None:
    path.write_bytes(b"one\ntwo\n")
    assert followed.news() == b"one\ntwo\n"
    fresh = {"replaced": b"other, and longer\n", "cut": b"one\n", "rewritten": b"ONE\nTWO\nTHREE\n"}
    if how == "replaced":
        beside = path.with_name("new")
        beside.write_bytes(fresh[how])
        beside.replace(path)
    else:
        path.write_bytes(fresh[how])
    assert followed.news() == fresh[how]


def append(path: Path, *lines: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(f"{each}\n" for each in lines)


def all_news(followed: Followed) -> list[str]:
    """Return every line that can be had now."""
    told = b""
    while news := followed.news():
        told += news
    return told.decode().split()


def test_a_renamed_file_is_read_to_its_end_before_the_new_one(
    path: Path, followed: Followed
) -> None:
    append(path, "one")
    assert all_news(followed) == ["one"]
    append(path, "two")
    rotated = path.rename(path.with_name("bot.ndjson.1"))
    append(path, "three")
    assert all_news(followed) == ["two", "three"]
    # Who writes may go on in the old one until told to open the new one.
    append(rotated, "four")
    append(path, "five")
    assert all_news(followed) == ["four", "five"]
    rotated.rename(path.with_name("bot.ndjson.2"))
    append(path, "six")
    path.rename(rotated)
    append(path, "seven")
    assert all_news(followed) == ["six", "seven"]


def test_a_renamed_file_is_read_on_while_nothing_takes_its_place(
    path: Path, followed: Followed
) -> None:
    append(path, "one")
    assert all_news(followed) == ["one"]
    rotated = path.rename(path.with_name("bot.ndjson.1"))
    append(rotated, "two")
    assert all_news(followed) == ["two"]
    rotated.unlink()
    assert all_news(followed) == []
    append(path, "three")
    assert all_news(followed) == ["three"]


def test_a_long_tail_of_a_renamed_file_comes_whole_and_first(
    path: Path, followed: Followed
) -> None:
    append(path, "one")
    assert all_news(followed) == ["one"]
    tail = [f"{number:0100}" for number in range(30_000)]
    append(path, *tail)
    path.rename(path.with_name("bot.ndjson.1"))
    append(path, "new")
    assert all_news(followed) == [*tail, "new"]


def test_following_leaves_no_file_open(path: Path) -> None:
    append(path, "one")
    with Followed(path) as followed:
        for number in range(9):
            all_news(followed)
            path.rename(path.with_name(f"bot.ndjson.{number}"))
            append(path, "more")
        assert len(held_open(path)) == 2
    assert held_open(path) == []


def held_open(path: Path) -> list[str]:
    """Return the files beside a path that this process holds open."""
    found = []
    for each in Path("/proc/self/fd").iterdir():
        # The folder's own number is gone by the time it is looked at.
        with suppress(FileNotFoundError):
            found.append(str(each.readlink()))
    return [name for name in found if name.startswith(str(path))]


def test_a_line_without_end_does_not_stop_a_file(path: Path, followed: Followed) -> None:
    path.write_bytes(b"x" * (3 << 20) + b"\n" + line(ORDER))
    told: list[Accepted] = []
    while body := followed.news():
        told.append(accept(body))
    assert sum(len(one.claims) for one in told) == 1
    assert sum(len(one.rejected) for one in told) == 3


def test_a_followed_file_reaches_the_book(tmp_path: Path, journal: Journal) -> None:
    path = tmp_path / "bot.ndjson"
    refused: list[Rejected] = []

    class Steps:
        """A pace that writes the next piece whenever the follower rests."""

        pieces = (line(ORDER)[:20], line(ORDER)[20:] + b"junk\n", line(ORDER, status="filled"))
        at = 0

        async def rest(self, wait_ns: int) -> None:
            if self.at == len(self.pieces):
                raise asyncio.CancelledError
            with path.open("ab") as file:
                file.write(self.pieces[self.at])
            self.at += 1

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(follow(path, Intake(DirectWriter(journal)), Steps(), refused.append))  # type: ignore[arg-type]
    said = [claim.fact.status for claim in journal.claims(kinds=["order"])]  # type: ignore[union-attr]
    assert said == ["placed", "filled"]
    assert [(one.file, one.reason) for one in refused] == [("bot.ndjson", "is not a line of JSON")]


def test_many_lines_hold_up_nobody_who_waits(journal: Journal) -> None:
    body = b"".join(line(ORDER, client_order_id=f"mm-{n}") for n in range(3000))

    async def turns() -> int:
        """Count how often somebody else has a turn while lines are read."""
        reading = asyncio.create_task(Intake(DirectWriter(journal)).read(body))
        count = 0
        while not reading.done():
            await asyncio.sleep(0.001)
            count += 1
        assert len(reading.result().claims) == 3000
        return count

    assert asyncio.run(turns()) > 5


def test_the_example_in_the_documentation_is_taken() -> None:
    page = (Path(__file__).parent.parent / "docs" / "bots.md").read_text(encoding="utf-8")
    blocks = page.split("```jsonl\n")[1:]
    told = [accept(block.split("```")[0].encode()) for block in blocks]
    assert [one.rejected for one in told] == [()] * len(blocks)
    assert {type(claim.fact) for one in told for claim in one.claims} == {
        Decision,
        Vote,
        OrderUpdate,
        Assignment,
    }


def test_every_field_of_the_schema_is_documented() -> None:
    page = (Path(__file__).parent.parent / "docs" / "bots.md").read_text(encoding="utf-8")
    for shape in (Decision, Vote, OrderUpdate, Assignment):
        for field in msgspec.structs.fields(shape):
            if field.name not in ("ts_ns", "printed_ns"):
                assert f"`{field.name}`" in page, (shape.__name__, field.name)
