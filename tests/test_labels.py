"""Names of attached accounts: the book remembers those that only a venue could put to a uid."""

from __future__ import annotations

from pathlib import Path

from cli_run import fillbook
from fillbook.analysis.labels import ACCOUNT_LABEL, with_labels
from fillbook.ground.clock import DAY_NS
from fillbook.ground.settings import AccountSettings, Settings
from fillbook.journal.store import BatchOpen, Journal, Page
from strategies import ACCOUNT, T0, VENUE, fill, market


def remember(book: Path, *names: str) -> None:
    """Make a book of one account that was attached under these names, one a day."""
    batch = {"source": "api", "rank": 3, "venue": VENUE, "account": ACCOUNT, "fingerprint": ""}
    with Journal.create(book) as journal:
        journal.begin(BatchOpen(batch_id="live", name="live", **batch), T0)  # type: ignore[arg-type]
        claims = [market(), fill(0, "buy", 1, fee="0"), fill(1, "sell", 1, 103, fee="0")]
        journal.append(Page(batch_id="live", claims=claims, cursor="-"), T0)
        for day, name in enumerate(names):
            opened = BatchOpen(
                batch_id=f"label/{name}", name=name, labels=(ACCOUNT_LABEL,), **batch
            )  # type: ignore[arg-type]
            journal.begin(opened, T0 + day * DAY_NS)


def test_every_command_knows_an_account_by_the_name_in_the_book(tmp_path: Path) -> None:
    remember(tmp_path / "fillbook.db", "main")
    (row,) = fillbook(tmp_path, "trades", "--account", "main", "--json").json["rows"]
    assert row["net"] == "3"
    assert "main" in fillbook(tmp_path, "why", "--by", "account").out
    assert fillbook(tmp_path, "verify").status == 0
    wrong = fillbook(tmp_path, "why", "--account", "mian")
    assert wrong.status == 2
    assert "it has main" in wrong.err


def test_the_newest_name_holds_and_the_settings_above_it(tmp_path: Path) -> None:
    book = tmp_path / "fillbook.db"
    remember(book, "old", "new")
    with Journal.open(book, readonly=True) as journal:
        opened = journal.labelled(ACCOUNT_LABEL)
    assert with_labels(Settings(), opened).label(ACCOUNT) == "new"
    own = Settings(accounts={ACCOUNT: AccountSettings(label="mine")})
    assert with_labels(own, opened).label(ACCOUNT) == "mine"
