"""A sealed ledger is the folded one, byte for byte; a broken seal is as good as none."""

from __future__ import annotations

import random
import shutil
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pytest

import fillbook
from fillbook.analysis.rows import fills
from fillbook.analysis.summary import load
from fillbook.analysis.traderows import trades
from fillbook.analysis.valuation import Valuer
from fillbook.analysis.view import BookView, Query
from fillbook.analysis.why import why
from fillbook.facts.model import Claim
from fillbook.ground.settings import FoldMethod, FoldSettings, Settings, StrategyRule
from fillbook.journal.store import BatchOpen, Journal, Page
from fillbook.ledger.cache import LedgerCache, cache_key, code_print
from fillbook.ledger.ledger import Ledger, fold_claims
from fillbook.resolve.claims import ResolveRules
from strategies import (
    ACCOUNT,
    HOUR,
    SECOND,
    T0,
    VENUE,
    Import,
    charge,
    covers,
    fill,
    funding,
    market,
    remember,
)

KEY = "a key"


def some_claims(count: int = 60) -> list[Claim]:
    """Two markets, two strategies, shared funding, foreign fees, an opening, an unknown fee."""
    claims = [
        market("BTC"),
        market("XBT", "inverse", multiplier="100"),
        fill(0, "sell", "0.5", "100", key="first", start_position="3", fee="0.1"),
        fill(1, "buy", 4, "7000", key="inverse", instrument="XBT", fee="0.0001", fee_asset="XBT"),
        fill(2, "sell", 9, "7100", key="inverse2", instrument="XBT", strategy="trend"),
        charge(3, "0.25"),
        funding(4, "-0.125"),
    ]
    for n in range(count):
        claims.append(
            fill(
                HOUR + n * SECOND,
                "buy" if n % 7 < 4 else "sell",
                Decimal(1 + n % 5) / 8,
                Decimal(100) + Decimal(n % 13) / 4,
                key=f"n{n:05}",
                strategy=(None, "trend", "fade")[n % 3],
                fee="0.01" if n % 4 else None,
                fee_asset="BNB" if n % 5 == 0 else "USD",
                decision_px=Decimal(100) if n % 2 else None,
                fill_id=f"id-{n}",
                order_id=f"o-{n // 2}",
                exit_reason="liquidation" if n % 11 == 0 else None,
                cause="adl" if n % 13 == 0 else None,
            )
        )
        if n % 10 == 9:
            claims.append(funding(HOUR + n * SECOND, Decimal(n) / 16, key=f"f{n}"))
    return claims


def folded(method: FoldMethod = "average", count: int = 60) -> Ledger:
    said = Import(some_claims(count), "b", "api", 3, (covers(), covers("funding")))
    return fold_claims(remember(said), method, book_id="book", seq=9, head="head")


def answers(ledger: Ledger) -> bytes:
    """Return what a ledger answers: verdict, fills, trades, by strategy and by day."""
    view = BookView(lambda: ledger, Valuer(None, HOUR), Settings())
    told = [
        why(view, Query(by="strategy")),
        why(view, Query(since_ns=T0 + HOUR, until_ns=T0 + HOUR + 31 * SECOND)),
        fills(view, Query()),
        trades(view, Query()),
    ]
    return msgspec.json.encode(told)


@pytest.mark.parametrize("method", ["average", "fifo", "lifo"])
def test_a_sealed_ledger_is_the_folded_one(tmp_path: Path, method: FoldMethod) -> None:
    ledger, cache = folded(method), LedgerCache(tmp_path)
    cache.store(KEY, ledger)
    again = cache.load(KEY)
    assert again is not None
    assert again.digest() == ledger.digest()
    assert answers(again) == answers(ledger)
    assert (again.book_id, again.seq, again.head, again.method) == ("book", 9, "head", method)
    assert again.findings == ledger.findings and ledger.findings
    assert again.coverage == ledger.coverage and ledger.coverage
    for ours, theirs in zip(ledger.groups, again.groups, strict=True):
        for row in (0, 1, len(ours) // 2, len(ours)):
            assert (ours.states_before(row) == theirs.states_before(row)).all()
            assert ours.venue_state_before(row) == theirs.venue_state_before(row)
        assert ours.books.state == theirs.books.state
        assert (ours.books.removed == theirs.books.removed).all()
        assert list(ours.columns.exit_reason) == list(theirs.columns.exit_reason)
        assert list(ours.columns.cause) == list(theirs.columns.cause)


def test_checkpoints_come_back_and_the_fold_goes_on_from_them(tmp_path: Path) -> None:
    """More events than lie between two checkpoints: a state in the middle is found, not refolded
    from the beginning, and is the same."""
    ledger, cache = folded(count=9000), LedgerCache(tmp_path)
    cache.store(KEY, ledger)
    again = cache.load(KEY)
    assert again is not None
    (ours, theirs) = (each.groups[0] for each in (ledger, again))
    assert len(theirs.books.checkpoints) == len(ours.books.checkpoints) >= 2
    assert list(theirs.books.checkpoints) == list(ours.books.checkpoints)
    for row in (4096, 5000, len(ours) - 1):
        assert (ours.states_before(row) == theirs.states_before(row)).all()
        assert ours.venue_state_before(row) == theirs.venue_state_before(row)


def test_an_empty_book_can_be_sealed(tmp_path: Path) -> None:
    cache = LedgerCache(tmp_path)
    cache.store(KEY, fold_claims([]))
    again = cache.load(KEY)
    assert again is not None and again.groups == [] and again.digest() == fold_claims([]).digest()


def test_another_key_finds_nothing_and_a_new_seal_replaces_the_old(tmp_path: Path) -> None:
    cache = LedgerCache(tmp_path)
    assert cache.load(KEY) is None
    cache.store(KEY, folded())
    assert cache.load("another") is None
    cache.store("another", folded("fifo"))
    assert cache.load(KEY) is None
    again = cache.load("another")
    assert again is not None and again.method == "fifo"
    assert [path.name for path in tmp_path.iterdir()] == ["ledger"]


def test_the_key_depends_on_everything_a_fold_depends_on() -> None:
    rules = ResolveRules(strategies=(StrategyRule(strategy="s", instrument="BTC"),))
    found = {
        cache_key("head", "average", ResolveRules()),
        cache_key("other head", "average", ResolveRules()),
        cache_key("head", "fifo", ResolveRules()),
        cache_key("head", "average", rules),
    }
    assert len(found) == 4


def sealed_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "ledger").iterdir())


def test_a_file_cut_short_emptied_or_missing_breaks_the_seal(tmp_path: Path) -> None:
    LedgerCache(tmp_path / "whole").store(KEY, folded())
    for place, original in enumerate(sealed_files(tmp_path / "whole")):
        raw = original.read_bytes()
        for left in (None, b"", raw[: len(raw) // 2], raw[:-1], raw + b"\0"):
            folder = tmp_path / "broken"
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(tmp_path / "whole", folder)
            file = sealed_files(folder)[place]
            if left is None:
                file.unlink()
            else:
                file.write_bytes(left)
            assert LedgerCache(folder).load(KEY) is None, (file.name, left and len(left))


def test_a_single_flipped_bit_anywhere_breaks_the_seal(tmp_path: Path) -> None:
    """Compressed columns carry no checksum: without a seal a flipped bit is another number."""
    cache = LedgerCache(tmp_path)
    cache.store(KEY, folded())
    rng = random.Random(20260105)
    for file in sealed_files(tmp_path):
        raw = file.read_bytes()
        for _ in range(40):
            at = rng.randrange(len(raw))
            flipped = bytearray(raw)
            flipped[at] ^= 1 << rng.randrange(8)
            file.write_bytes(flipped)
            assert cache.load(KEY) is None, (file.name, at)
        file.write_bytes(raw)
    assert cache.load(KEY) is not None


def test_files_of_two_seals_do_not_mix(tmp_path: Path) -> None:
    cache = LedgerCache(tmp_path)
    cache.store(KEY, folded())
    older = {file.name: file.read_bytes() for file in sealed_files(tmp_path)}
    cache.store(KEY, folded("fifo"))
    for file in sealed_files(tmp_path):
        newer = file.read_bytes()
        if newer != older[file.name]:
            file.write_bytes(older[file.name])
            assert cache.load(KEY) is None, file.name
            file.write_bytes(newer)


def test_a_folder_that_cannot_be_written_is_left_alone(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    LedgerCache(blocked / "cache").store(KEY, folded())
    assert blocked.read_text() == "not a folder"


def _book(path: Path) -> Journal:
    journal = Journal.create(path)
    opened = BatchOpen(
        batch_id="b", source="api", rank=3, venue=VENUE, account=ACCOUNT, fingerprint="f", name="n"
    )
    journal.begin(opened, now_ns=T0)
    journal.append(Page(batch_id="b", claims=some_claims(), cursor="end"), now_ns=T0)
    return journal


def test_a_book_loaded_from_its_cache_answers_alike_and_survives_a_broken_one(
    tmp_path: Path,
) -> None:
    settings, cache = Settings(fold=FoldSettings("fifo")), tmp_path / "cache"
    with _book(tmp_path / "book.db") as journal:
        cold = load(journal, None, settings, cache=cache)
        digest, told = cold.ledger.digest(), answers(cold.ledger)
        warm = load(journal, None, settings, cache=cache)
        assert LedgerCache(cache).load(cache_key(cold.head, "fifo", ResolveRules())) is not None
        assert (warm.ledger.digest(), answers(warm.ledger)) == (digest, told)
        for file in sealed_files(cache):
            file.write_bytes(b"\xff" * 100)
        mended = load(journal, None, settings, cache=cache)
        assert (mended.ledger.digest(), answers(mended.ledger)) == (digest, told)
        # ... and what was broken has been sealed anew.
        assert LedgerCache(cache).load(cache_key(cold.head, "fifo", ResolveRules())) is not None


def test_a_grown_book_is_folded_anew(tmp_path: Path) -> None:
    settings, cache = Settings(), tmp_path / "cache"
    with _book(tmp_path / "book.db") as journal:
        before = load(journal, None, settings, cache=cache).ledger
        late = fill(2 * HOUR, "buy", 1, key="late")
        journal.append(Page(batch_id="b", claims=[late], cursor="later"), now_ns=T0)
        after = load(journal, None, settings, cache=cache).ledger
        assert after.digest() != before.digest()
        assert after.digest() == fold_claims(journal.claims()).digest()
        # What was known before stays to be asked for, beside the cache of the newest state.
        past = load(journal, None, settings, cache=cache, as_of=before.seq).ledger
        assert past.digest() == before.digest()


def test_sealed_rows_are_the_ledgers_own_integers(tmp_path: Path) -> None:
    """The files are plain Parquet: money is its high and low word, as anyone can read it."""
    import polars as pl

    ledger = folded()
    LedgerCache(tmp_path).store(KEY, ledger)
    frame = pl.read_parquet(tmp_path / "ledger" / "00000.parquet")
    columns = ledger.groups[0].columns
    assert np.array_equal(frame["event.fee.1"].to_numpy(), columns.events.fee[:, 1])
    assert frame["event_key"].to_list() == list(columns.event_key)


def test_a_changed_line_in_any_room_beneath_finds_no_old_answer(tmp_path: Path) -> None:
    package = tmp_path / "fillbook"
    shutil.copytree(Path(fillbook.__file__).parent, package)
    plain = code_print(package)
    for changed in ("analysis/why.py", "analysis/reconcile/positions.py", "resolve/order.py"):
        with (package / changed).open("a") as file:
            file.write("# changed\n")
        assert code_print(package) != plain, changed
        plain = code_print(package)
    (package / "cli/app.py").write_text("")
    assert code_print(package) == plain
