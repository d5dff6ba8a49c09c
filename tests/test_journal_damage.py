"""Whatever happens to the bytes of a book, it is harmless or it is said; nothing is invented."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fillbook.facts.codec import encode
from fillbook.facts.finding import Finding
from fillbook.facts.model import Epoch, Fill
from fillbook.ground.errors import (
    BookDamagedError,
    BookError,
    BookMissingError,
    InputError,
)
from fillbook.journal.store import Journal, Page, verify_book
from journal_books import START_NS, batch, book_of, fill, funding, live, put, raw_of, tamper

FAMILY = ("", "-wal", "-shm", ".head")


def copy_book(book: Path, target: Path) -> Path:
    for end in FAMILY:
        part = Path(f"{book}{end}")
        Path(f"{target}{end}").unlink(missing_ok=True)
        if part.exists() and end != "-shm":
            shutil.copyfile(part, f"{target}{end}")
    return target


def lived_in(book: Path) -> Path:
    """Make a book that has seen everything: conflicts, overlaps, a retraction, a lost range."""
    with Journal.create(book) as journal:
        put(journal, "march", [fill(n, row=n % 4) for n in range(30)], size=7, done=True)
        put(journal, "wrong", [fill(n, px="77") for n in range(25, 35)], size=4)
        journal.retract("wrong", "wrong account", START_NS)
    older = copy_book(book, book.with_name("older.db"))
    with Journal.open(book) as journal:
        put(journal, "lost", [funding(n) for n in range(9)], size=3)
    head = Path(f"{book}.head").read_bytes()
    copy_book(older, book)
    Path(f"{book}.head").write_bytes(head)
    with Journal.open(book) as journal:
        put(journal, "spring", [fill(n, row=n % 3) for n in range(20, 45)], size=6, done=True)
        put(journal, "wrong", [fill(n, px="77") for n in range(25, 35)], size=4, done=True)
    return book


def told(book: Path) -> list[Any]:
    """Return everything a reader gets from a book."""
    with Journal.open(book, readonly=True) as journal:
        seq = journal.head().seq
        return [
            journal.findings,
            journal.head(),
            journal.batches(),
            [journal.batches(point) for point in (10, 33, 60)],
            list(journal.claims()),
            [list(journal.claims(point)) for point in (10, 33, 60)],
            list(journal.claims(after_seq=29, kinds=["fill", "batch"])),
            [journal.touched(point) for point in range(0, seq, 9)],
        ]


@cache
def of_original(book: Path) -> tuple[list[Any], list[Finding]]:
    return told(book), verify_book(book)


def codes(findings: list[Finding]) -> set[str]:
    return {finding.code for finding in findings}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lived_in(tmp_path_factory.mktemp("original") / "b.db")


def flip_a_bit(content: bytearray, dice: random.Random) -> None:
    content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)


def overwrite_a_run(content: bytearray, dice: random.Random) -> None:
    at, length = dice.randrange(len(content)), dice.choice([2, 16, 300])
    content[at : at + length] = dice.randbytes(len(content[at : at + length]))


def zero_a_sector(content: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(content) // 512) * 512
    content[at : at + 512] = bytes(512)


def swap_two_pages(content: bytearray, dice: random.Random) -> None:
    one, other = (dice.randrange(len(content) // 4096) * 4096 for _ in range(2))
    kept = content[one : one + 4096]
    content[one : one + 4096] = content[other : other + 4096]
    content[other : other + 4096] = kept


def cut_the_end(content: bytearray, dice: random.Random) -> None:
    del content[dice.randrange(len(content)) :]


Wound = Callable[[bytearray, random.Random], None]
WOUNDS: dict[Wound, int] = {
    flip_a_bit: 150,
    overwrite_a_run: 40,
    zero_a_sector: 30,
    swap_two_pages: 15,
    cut_the_end: 15,
}


def wound_and_look(original: Path, folder: Path, end: str, wound: Wound, seed: int) -> str:
    """Damage one file of a copied book; return "harmless" or "said", or fail."""
    book = copy_book(original, folder / "b.db")
    content = bytearray(Path(f"{book}{end}").read_bytes())
    wound(content, random.Random(seed))
    Path(f"{book}{end}").write_bytes(content)
    what = f"{wound.__name__}, seed {seed}"
    whole, usual = of_original(original)
    found = verify_book(book)
    # What a reader gets is what was written, or an error in plain words; never something else.
    try:
        seen = told(book)
    except BookError as fault:
        assert fault.what and fault.next_step, what
        assert found != usual, f"{what}: verify says nothing, reading says {fault.what}"
        return "said"
    if "book-behind-head-file" in codes(seen[0]):
        assert found != usual
        return "said"
    assert seen == whole, what
    if found != usual:
        return "said"
    with (
        Journal.open(book, readonly=True) as journal,
        Journal.open(original, readonly=True) as untouched,
    ):
        for seq in range(1, journal.head().seq + 1):
            assert journal.raw(seq) == untouched.raw(seq), what
    return "harmless"


@pytest.mark.parametrize("wound", WOUNDS, ids=lambda wound: wound.__name__)
def test_no_damage_at_rest_goes_unnoticed(original: Path, tmp_path: Path, wound: Wound) -> None:
    outcomes = [
        wound_and_look(original, tmp_path, "", wound, seed) for seed in range(WOUNDS[wound])
    ]
    assert outcomes.count("said") > len(outcomes) // 5  # much of a small book is empty space


@pytest.mark.soak
@pytest.mark.parametrize("wound", WOUNDS, ids=lambda wound: wound.__name__)
def test_no_damage_at_rest_goes_unnoticed_for_long(
    original: Path, tmp_path: Path, wound: Wound
) -> None:
    for seed in range(1000, 1000 + 20 * WOUNDS[wound]):
        wound_and_look(original, tmp_path, "", wound, seed)


@pytest.mark.parametrize("wound", [flip_a_bit, zero_a_sector, cut_the_end])
def test_no_damage_in_the_wal_goes_unnoticed(tmp_path: Path, wound: Wound) -> None:
    busy = tmp_path / "busy.db"
    with Journal.create(busy) as journal:
        put(journal, "march", [fill(n) for n in range(40)], size=5)
        put(journal, "spring", [fill(n) for n in range(30, 50)], size=5)
        copy_book(busy, tmp_path / "still.db")  # as a power cut would leave it: WAL not folded in
    assert Path(f"{tmp_path / 'still.db'}-wal").stat().st_size > 40_000
    (tmp_path / "try").mkdir()
    outcomes = [
        wound_and_look(tmp_path / "still.db", tmp_path / "try", "-wal", wound, seed)
        for seed in range(25)
    ]
    assert "said" in outcomes


@pytest.mark.parametrize("wound", [flip_a_bit, overwrite_a_run, cut_the_end])
def test_a_damaged_head_file_never_changes_what_the_book_says(
    original: Path, tmp_path: Path, wound: Wound
) -> None:
    for seed in range(25):
        wound_and_look(original, tmp_path, ".head", wound, seed)


FORGERIES = [
    "DELETE FROM claim WHERE seq = 5",
    "DELETE FROM claim WHERE seq = (SELECT max(seq) FROM claim)",
    "DELETE FROM claim",
    'UPDATE claim SET fact = replace(fact, \'"px":"6\', \'"px":"7\') WHERE seq = 6',
    "UPDATE claim SET content = (SELECT content FROM claim WHERE seq = 8) WHERE seq = 7",
    "UPDATE claim SET key = key || '#2' WHERE seq = 7",
    "UPDATE claim SET row = 3 - row WHERE seq = 7",
    "UPDATE claim SET row = NULL WHERE seq = 7",
    "UPDATE claim SET ts_event_ns = ts_event_ns + 1 WHERE seq = 7",
    "UPDATE claim SET batch = 2 WHERE seq = 7",
    "UPDATE claim SET stream = 2 WHERE seq = 7",
    "UPDATE claim SET seq = 900 WHERE seq = 7",
    "INSERT INTO claim SELECT 900, stream, key || 'x', content, ts_event_ns, batch, row, fact"
    " FROM claim WHERE seq = 7",
    "UPDATE stream SET account = '0xother' WHERE kind = 'fill'",
    "UPDATE batch SET description = replace(description, '\"rank\":2', '\"rank\":3')",
    "UPDATE batch SET opened_seq = 999 WHERE batch = 2",
    "DELETE FROM batch WHERE batch = 1",
    "UPDATE page SET cursor = cursor || '0' WHERE page = 2",
    "UPDATE page SET batch = 2 WHERE page = 2",
    "UPDATE page SET recv_ns = recv_ns + 1 WHERE page = 2",
    "UPDATE page SET final_seq = NULL WHERE final_seq IS NOT NULL",
    "UPDATE page SET schema = 2 WHERE page = 2",
    "UPDATE page SET hash = randomblob(32) WHERE page = 2",
    "UPDATE page SET rows = randomblob(32) WHERE page = 2",
    "UPDATE raw SET body = (SELECT body FROM raw WHERE page = 3) WHERE page = 2",
    "DELETE FROM raw WHERE page = 2",
    "UPDATE page SET last_seq = last_seq - 1 WHERE page = 2",
    "DELETE FROM page WHERE page = 3",
    "DELETE FROM page WHERE page > 3",
    "DELETE FROM reference",
    "DELETE FROM reference WHERE seq = (SELECT min(seq) FROM reference)",
    "UPDATE reference SET row = 5 WHERE seq = (SELECT max(seq) FROM reference)",
    "UPDATE reference SET claim = claim - 15",
    "UPDATE reference SET batch = 1 WHERE seq = (SELECT min(seq) FROM reference)",
    "UPDATE book SET value = '0123456789abcdef'",
    "DROP INDEX claim_identity",
    "ALTER TABLE claim ADD COLUMN note TEXT",
]


@pytest.mark.parametrize("forgery", FORGERIES)
def test_every_forgery_is_found(original: Path, tmp_path: Path, forgery: str) -> None:
    book = copy_book(original, tmp_path / "b.db")
    tamper(book, forgery)
    usual = codes(verify_book(original))
    found = [finding for finding in verify_book(book) if finding.code not in usual]
    assert found, forgery
    assert all(finding.severity == "error" and finding.next_step for finding in found)
    whole = told(original)
    try:
        seen = told(book)
    except BookError:
        return
    assert seen == whole or "book-behind-head-file" in codes(seen[0])


def test_swapping_two_rows_is_found_with_their_page(original: Path, tmp_path: Path) -> None:
    book = copy_book(original, tmp_path / "b.db")
    tamper(
        book,
        "UPDATE claim SET seq = -1 WHERE seq = 9",
        "UPDATE claim SET seq = 9 WHERE seq = 10",
        "UPDATE claim SET seq = 10 WHERE seq = -1",
    )
    (found,) = (f for f in verify_book(book) if f.code == "page-altered")
    assert found.message.startswith("page 2: ") and "rows 8 to 14" in found.message
    with Journal.open(book) as journal, pytest.raises(BookDamagedError, match="page 2 is not"):
        list(journal.claims())
    with Journal.open(book) as journal:
        assert len(list(journal.claims(as_of=7))) == 7  # what lies before is still readable


def test_a_changed_row_is_named(original: Path, tmp_path: Path) -> None:
    book = copy_book(original, tmp_path / "b.db")
    tamper(book, 'UPDATE claim SET fact = replace(fact, \'"qty":"1\', \'"qty":"9\') WHERE seq = 10')
    found = verify_book(book)
    assert any(finding.seqs == (10,) for finding in found if finding.code == "row-altered")
    with Journal.open(book) as journal, pytest.raises(BookDamagedError, match="content of row 10"):
        list(journal.claims())


def test_a_person_with_a_shell_cannot_change_a_book_by_accident(tmp_path: Path) -> None:
    import sqlite3

    book = book_of(tmp_path / "b.db", 3)
    connection = sqlite3.connect(book)
    for table in ("book", "stream", "batch", "page", "raw", "claim", "reference"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(f"DELETE FROM {table}") if table != "reference" else (
                connection.execute("INSERT INTO reference VALUES (99, 1, 1, NULL)"),
                connection.execute("DELETE FROM reference"),
            )
    connection.rollback()
    connection.close()
    assert verify_book(book) == []


# -- the head file ---------------------------------------------------------------------------


def behind(tmp_path: Path) -> Path:
    """Make a book restored from a backup that is older than its head file."""
    book = book_of(tmp_path / "b.db", 20)
    older = copy_book(book, tmp_path / "older.db")
    with Journal.open(book) as journal:
        put(journal, "april", [fill(n) for n in range(20, 33)], size=5)
        journal.retract("march", None, START_NS)
    head = Path(f"{book}.head").read_bytes()
    copy_book(older, book)
    Path(f"{book}.head").write_bytes(head)
    return book


def test_a_book_behind_its_head_file_says_what_it_lost_and_stays_readable(tmp_path: Path) -> None:
    book = behind(tmp_path)
    with Journal.open(book) as journal:
        (found,) = journal.findings
        assert (found.code, found.severity) == ("book-behind-head-file", "error")
        assert "rows 22 to 35" in found.message
        assert len(list(journal.claims(kinds=["fill"]))) == 20
        assert codes(journal.verify()) == {"book-behind-head-file"}
    assert codes(verify_book(book)) == {"book-behind-head-file"}


def test_writing_to_a_book_behind_names_the_loss_and_never_reuses_its_numbers(
    tmp_path: Path,
) -> None:
    book = behind(tmp_path)
    with Journal.open(book) as journal:
        done = put(journal, "april", [fill(n) for n in range(18, 33)], size=50)
        assert (done.new, done.known, done.head.seq) == (13, 2, 51)
        (epoch,) = (claimed for claimed in journal.claims(kinds=["epoch"]))
        assert isinstance(epoch.fact, Epoch)
        assert (epoch.seq, epoch.fact.lost_from_seq, epoch.fact.lost_until_seq) == (36, 22, 35)
        assert epoch.fact.anchored_hash in Path(f"{book}.head").read_text()
        seqs = [claimed.seq for claimed in journal.claims(kinds=["fill"])]
        assert [seq for seq in seqs if 21 < seq < 36] == []
        assert len(seqs) == 33
        assert journal.head(30) == journal.head(21)
        assert [c.seq for c in journal.claims(after_seq=25, as_of=36)] == [36]
        assert list(journal.claims(after_seq=22, as_of=30)) == []
        assert codes(journal.verify()) == {"rows-lost"}
    with Journal.open(book, readonly=True) as journal:
        assert journal.findings == []
        put_again = codes(journal.verify())
    assert put_again == codes(verify_book(book)) == {"rows-lost"}
    with Journal.open(book) as journal:  # a second loss is a second epoch
        put(journal, "may", [fill(40)])
    assert codes(verify_book(book)) == {"rows-lost"}


def test_two_books_that_went_apart_are_not_one(tmp_path: Path) -> None:
    one, other = book_of(tmp_path / "one.db", 5), tmp_path / "other.db"
    copy_book(one, other)
    for book, number in ((one, 6), (other, 7)):
        with Journal.open(book) as journal:
            put(journal, "april", [fill(number)])
    shutil.copyfile(f"{one}.head", f"{other}.head")
    with pytest.raises(BookDamagedError, match="is not the one its head file knows"):
        Journal.open(other)
    assert "head-mismatch" in codes(verify_book(other))
    with Journal.open(other.rename(tmp_path / "moved.db")) as journal:
        assert codes(journal.findings) == {"head-file-missing"}


def test_the_head_file_of_another_book_is_refused(tmp_path: Path) -> None:
    one, other = book_of(tmp_path / "one.db", 5), book_of(tmp_path / "other.db", 5)
    shutil.copyfile(f"{one}.head", f"{other}.head")
    with pytest.raises(BookDamagedError, match="belongs to another book"):
        Journal.open(other)
    assert "head-file-foreign" in codes(verify_book(other))


def test_a_missing_head_file_is_said_and_made_anew_by_the_next_write(tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.db", 5)
    Path(f"{book}.head").unlink()
    with Journal.open(book) as journal:
        assert codes(journal.findings) == {"head-file-missing"}
        assert codes(journal.verify()) == {"head-file-missing"}
        put(journal, "april", [fill(9)])
    with Journal.open(book) as journal:
        assert (journal.findings, journal.verify()) == ([], [])


def test_a_torn_last_line_is_what_a_crash_leaves(tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.db", 5)
    head = Path(f"{book}.head")
    whole = head.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1])):
        head.write_bytes(whole[:-cut] if cut > 1 else whole + b"fillbook 1 book=")
        with Journal.open(book) as journal:
            assert (journal.findings, journal.verify()) == ([], [])
    with Journal.open(book) as journal:
        put(journal, "april", [fill(9)])
        lines = head.read_text().splitlines()
        assert f"seq={journal.head().seq} hash={journal.head().hash}" in lines[-1]
        assert codes(journal.verify()) == {"head-file-altered"}  # the torn one, now in the middle
    with Journal.open(book) as journal:
        assert journal.findings == []


def test_a_head_file_deleted_while_the_book_is_open_comes_back(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "b.db") as journal:
        put(journal, "march", [fill(1)])
        (tmp_path / "b.db.head").unlink()
        head = put(journal, "march", [fill(2)]).head
        assert f"seq={head.seq} hash={head.hash}" in (tmp_path / "b.db.head").read_text()


def test_a_deleted_wal_is_a_loss_that_is_said(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "live.db") as journal:
        put(journal, "march", [fill(n) for n in range(9)], size=3)
        copy_book(tmp_path / "live.db", tmp_path / "b.db")
    (tmp_path / "b.db-wal").unlink()
    with Journal.open(tmp_path / "b.db") as journal:
        (found,) = journal.findings
        assert found.code == "book-behind-head-file" and "rows 1 to 9" in found.message
        assert list(journal.claims()) == []


# -- what is no book at all ------------------------------------------------------------------


def test_a_missing_book_says_how_far_it_had_come(tmp_path: Path) -> None:
    with pytest.raises(BookMissingError, match="no book"):
        Journal.open(tmp_path / "b.db")
    book = book_of(tmp_path / "b.db", 5)
    book.unlink()
    with pytest.raises(BookMissingError, match="up to row 6"):
        Journal.open(book)
    with pytest.raises(BookMissingError):
        Journal.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x", b"no book, just text\n" * 500, bytes(8192)])
def test_what_is_not_a_book_is_refused_in_plain_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "b.db"
    path.write_bytes(content)
    with pytest.raises(BookDamagedError) as caught:
        Journal.open(path)
    assert caught.value.where == str(path) and caught.value.next_step
    assert codes(verify_book(path)) == {"book-unreadable"}
    with pytest.raises(InputError):
        Journal.create(path)
    assert path.read_bytes() == content


def test_a_book_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    book = book_of(tmp_path / "b.db", 2)
    tamper(book, "PRAGMA user_version = 2")
    with pytest.raises(BookError, match="format 2"):
        Journal.open(book)


# -- raw text --------------------------------------------------------------------------------


def reread(source: str, context: str, raw: str) -> list[Fill]:
    number = int(raw.split(",")[0])
    return [
        claim.fact
        for px in (None, "77")
        if isinstance((claim := fill(number, px)).fact, Fill) and raw_of(claim.fact) == raw
    ]


def test_verify_reads_every_raw_text_again(original: Path, tmp_path: Path) -> None:
    usual = codes(verify_book(original))
    steps: list[tuple[int, int]] = []
    again = verify_book(original, reread, lambda done, total: steps.append((done, total)))
    assert codes(again) == usual
    assert steps == sorted(steps) and steps[-1][0] == steps[-1][1]

    def other(source: str, context: str, raw: str) -> list[Fill]:
        if raw.startswith("7,"):
            raise ValueError("no such side")
        return [] if raw.startswith("8,") else reread(source, context, raw)

    found = [f for f in verify_book(original, other) if f.code == "raw-differs"]
    assert [(f.seqs, "no such side" in f.message) for f in found] == [((8,), True), ((9,), False)]


def test_a_claim_that_its_raw_text_never_said_is_found(tmp_path: Path) -> None:
    claim = fill(3)
    assert isinstance(claim.fact, Fill)
    with Journal.create(tmp_path / "b.db") as journal:
        journal.begin(batch("march"), START_NS)
        lie = fill(3, "99")
        journal.append(
            Page(
                batch_id="march",
                claims=[type(claim)(lie.fact, lie.key, claim.raw)],
                cursor="",
            ),
            START_NS,
        )
        assert journal.verify() == []
        (found,) = journal.verify(reread)
        assert (found.code, found.seqs) == ("raw-differs", (1,))
        assert encode(lie.fact) != encode(claim.fact)
    assert live(Journal.open(tmp_path / "b.db", readonly=True)) != {}
