"""`fillbook demo`: a simulated month on disk, imported through the real readers into a book.

No network, no clock beyond the journal's receive times, and nothing outside the given folder.
Run again, it finds everything in place: every row is known, and the book stays as it is, what an
earlier run went on to pull live included.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fillbook.ground.clock import DAY_NS, day_of
from fillbook.ground.errors import InputError
from fillbook.journal.store import Journal
from fillbook.marks.series import MarkStore
from fillbook.sim.demo_live import is_of_demo
from fillbook.sim.world import HARVESTER, LABELS, SEED, World, make_world
from fillbook.sim.writers import MonthFile, write_month
from fillbook.sources.files.importing import FileReport, Progress, import_paths
from fillbook.sources.files.opened import SourceFile
from fillbook.sources.source import ReadOptions

Say = Callable[[str], None]

_CONFIG = """\
# The demo's configuration. `fillbook init` writes one that explains every key.

[book]
path = "fillbook.db"

# On Hyperliquid an account is an address; here it gets a name.
{labels}
# The harvester logs no decisions; a rule says which strategy its fills belong to.
[[strategies.rules]]
strategy = "harvest"
account = "{harvester}"
"""
_LABEL = """\
[accounts.{account}]
label = "{label}"
capital = {{ USDC = "{capital}" }}

"""
_CAPITAL = {"trend-bot": "40000", "maker-bot": "20000", "harvester": "60000"}


def run_demo(
    directory: Path,
    *,
    seed: int = SEED,
    say: Say,
    progress: Progress | None = None,
) -> Path:
    """Write the month into `directory`/month, import it, and return the book's path.

    `say` gets a line of text at a time. Raises InputError where the folder's book holds something
    else, so that nothing gets mixed up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    world = make_world(seed)
    say(f"Three simulated bots, {_span(world)}. Everything here is made up; nothing goes online.")
    files = write_month(world, directory / "month")
    say(f"  {directory / 'month'}: what their venues and logs would give you ({len(files)} files)")
    config = directory / "fillbook.toml"
    if not config.exists():
        config.write_text(_config(), encoding="utf-8")
    book = directory / "fillbook.db"
    new = _import(book, files, progress)
    held = f"{len(world.fills):,} fills, {len(world.decisions):,} decisions, "
    held += f"{len(world.funding):,} funding payments, {len(world.marks):,} marks"
    state = "imported" if new else "all there already"
    say(f"  {book}: the book, {held}; {state}")
    return book


def what_next(book: Path, *, once: bool, program: str = "fillbook") -> list[str]:
    """Return lines for after the answer: what else to ask of the demo's book, as one types it."""
    if once:
        first = "That was the whole demo; it ends here. Ask the same book more:"
        last = f"Then your own fills: {program} import PATH, {program} why"
    else:
        first = "Now the bots trade on, at sixty times our speed, and the monitor is attached."
        last = "Ask in a second terminal, while it runs; Ctrl+C here ends it."
    live = [f"  {program} monitor {word} --book {book}" for word in ("status", "metrics")]
    return [
        first,
        f"  {program} why --by account --book {book}",
        f"  {program} why --by strategy --book {book}",
        *([] if once else live),
        f"  {program} trades --strategy breakout --book {book}",
        f"  {program} costs --book {book}",
        last,
    ]


def _span(world: World) -> str:
    first, last = world.start_ms * 1_000_000, world.end_ms * 1_000_000 - DAY_NS
    return f"{day_of(first)} to {day_of(last)}"


def _config() -> str:
    labels = "".join(
        _LABEL.format(account=account, label=label, capital=_CAPITAL[label])
        for account, label in LABELS.items()
    )
    return _CONFIG.format(labels=labels, harvester=HARVESTER)


def _import(book: Path, files: list[MonthFile], progress: Progress | None) -> int:
    """Import the month and return how many rows were new to the book."""
    reports: list[FileReport] = []
    opened = Journal.open(book) if book.exists() else Journal.create(book)
    with opened as journal, MarkStore(f"{book}.marks") as marks:
        _refuse_strangers(journal, files, book)
        for file in files:
            options = ReadOptions(account=file.account)
            done = import_paths(journal, marks, [file.path], options, progress=progress)
            reports += done.files
    for report in reports:
        if report.error is not None or report.rejected:
            raise InputError(
                report.error or f"{report.rejected} rows were rejected",
                report.where or report.path,
                report.next_step or "this is a fault of the demo: please report it",
            )
    return sum(report.new for report in reports)


def _refuse_strangers(journal: Journal, files: list[MonthFile], book: Path) -> None:
    ours = {SourceFile(file.path).fingerprint for file in files}
    # A file that speaks of several accounts has its fingerprint in front of theirs.
    if all(
        batch.fingerprint.partition(":")[0] in ours or is_of_demo(batch.batch_id)
        for batch in journal.batches()
    ):
        return
    raise InputError(
        "the book in the demo's folder holds other imports",
        str(book),
        "delete the folder, or choose another one for the demo",
    )
