"""Monitors that are killed again and again while they pull from a venue full of faults.

Each life is a real monitor process, attached over real sockets; SIGKILL strikes at a seeded
moment: after so many requests, so much simulated time, and a few milliseconds more. The next one
starts on the same book. At the end the book is compared with the world's truth.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import binance_desk
import coinbase_desk
import hyperliquid_desk
from fillbook.ground.clock import DAY_NS, HOUR_NS, MINUTE_NS, SECOND_NS
from fillbook.ground.exact import from_scaled
from fillbook.journal.store import Journal
from fillbook.ledger.ledger import fold_claims
from fillbook.sim.cast import COINBASE_BOT, HEDGE, PERPS, SWING
from fillbook.sim.faults import FaultPlan
from fillbook.sim.world import HARVESTER, MAKER, TREND
from kill_life import CLOCK, SAID, SharedClock

STEP_NS = 20 * MINUTE_NS
# Real seconds: how long a life may take to ask at all, how long the venue stalls at most, and
# after how long without a request a life is taken to rest.
PATIENCE_S = 20.0
_STALL_S = 0.02
_REST_S = 0.04
_LOOK_S = 0.001
Rows = list[tuple[Any, ...]]


@dataclass
class Outcome:
    """What one run came to: a row of the table, summed over its seeds."""

    venue: str
    seeds: int = 1
    kills: int = 0
    busy: int = 0
    wanted: int = 0
    had: int = 0
    doubled: int = 0
    lost: int = 0
    bans: int = 0
    late: int = 0
    positions: int = 0
    astray: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Row:
    """One venue of the table: who is watched there, and how its monitor is told to attach."""

    venue: str
    desk_run: Callable[..., None]
    accounts: tuple[str, ...]
    attach: Callable[[Any, Path], dict[str, str]]
    facts: tuple[str, ...] = ("fills", "payments")


def _by_address(desk: Any, folder: Path) -> dict[str, str]:
    return {"address": desk.who}


def _by_key(desk: Any, folder: Path) -> dict[str, str]:
    known = binance_desk.CREDENTIALS
    return _key_file(folder, f"key = {known.key}\nsecret = {known.secret}\n")


def _by_token(desk: Any, folder: Path) -> dict[str, str]:
    known = coinbase_desk.CREDENTIALS
    return _key_file(folder, json.dumps({"name": known.key, "privateKey": known.secret}))


def _key_file(folder: Path, text: str) -> dict[str, str]:
    path = folder / "venue.key"
    path.write_text(text)
    path.chmod(0o600)
    return {"key_file": str(path)}


ROWS = (
    Row("hyperliquid", hyperliquid_desk.desk_run, (SWING, HARVESTER, MAKER), _by_address),
    Row(
        *("binance", binance_desk.desk_run, (TREND, HEDGE), _by_key),
        facts=("fills", "payments", "charges", "moved"),
    ),
    # What a perpetual pays there no read tells.
    Row(
        *("coinbase", coinbase_desk.desk_run, (COINBASE_BOT, PERPS), _by_token),
        facts=("fills",),
    ),
)


class Nursery:
    """The program that forks monitors; `start`, `kill` and `stop` wait until it is done."""

    def __init__(self, folder: Path) -> None:
        self._program = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("kill_life.py")), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # A pool of threads would make the program one that must not fork.
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"},
        )
        assert self._hear() == "ready"

    def start(self) -> None:
        assert int(self._told("start")) > 0

    def kill(self) -> int:
        """End the life with SIGKILL; return how it ended."""
        return int(self._told("kill"))

    def stop(self) -> int:
        """End the life with SIGTERM; return its exit status."""
        return int(self._told("stop"))

    def close(self) -> None:
        """End the program, and with it whatever it has started."""
        if self._program.poll() is None and self._is_living:
            self.kill()
        assert self._program.stdin is not None and self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait(60)
        self._program.stdout.close()

    _is_living = False

    def _told(self, word: str) -> str:
        assert self._program.stdin is not None
        self._program.stdin.write(f"{word}\n")
        self._program.stdin.flush()
        self._is_living = word == "start"
        return self._hear()

    def _hear(self) -> str:
        assert self._program.stdout is not None
        return self._program.stdout.readline().strip()


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    """Have a nursery while inside."""
    made = Nursery(folder)
    try:
        yield made
    finally:
        made.close()


def killed(
    row: Row,
    folder: Path,
    seed: int,
    *,
    kills: int,
    days_ns: int = 3 * DAY_NS,
    told: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Run one seed of a venue with every fault on and so many kills; check it, return the row.

    `told` receives the outcome before it is checked.
    """
    # A renamed coin renames its old orders too, which is a conflict about them.
    plan = FaultPlan.all_on(seed, without=["symbol_renamed"])
    outcome = Outcome(row.venue)

    async def body(desk: Any) -> None:
        desk.journal.close()
        _configure(row, desk, folder)
        with nursery(folder) as lives:
            _live_and_die(lives, desk, random.Random(seed), kills, days_ns, outcome)
            plan.calm("transport", "rest")
            _live_well(lives, desk, row)
        with Journal.open(folder / "book.db") as desk.journal:
            await _compare(row, desk, outcome)
            outcome.faults = dict(plan.injected)
            told(outcome)
            assert (outcome.kills, outcome.bans) == (kills, 0)
            assert (outcome.doubled, outcome.lost) == (0, 0)
            desk.check_truth()
        said = (folder / SAID).read_text()
        for word in ("Traceback", "failed, tried again"):
            assert word not in said, said[-3000:]

    who = row.accounts[seed % len(row.accounts)]
    row.desk_run(
        *(folder, who, body),
        seed=seed,
        plan=plan,
        days_ns=HOUR_NS,
        patience_s=_STALL_S,
        clock_of=lambda at_ns: SharedClock(folder / CLOCK, at_ns),
    )
    return outcome


def _configure(row: Row, desk: Any, folder: Path) -> None:
    urls = ", ".join(f"{role} = {json.dumps(url)}" for role, url in desk.settings.urls.items())
    how = [f"{name} = {json.dumps(text)}" for name, text in row.attach(desk, folder).items()]
    lines = ["[book]", 'path = "book.db"', "[monitor]", "port = 0"]
    lines += ['detection_interval = "5m"', 'poll_interval = "10m"']
    lines += ["[[attach]]", f'venue = "{row.venue}"', "share = 1.0", 'label = "desk"', *how]
    (folder / "fillbook.toml").write_text("\n".join([*lines, f"urls = {{ {urls} }}"]))


def _live_and_die(
    lives: Nursery, desk: Any, dice: random.Random, kills: int, days_ns: int, outcome: Outcome
) -> None:
    begun_ns = desk.clock.now_ns()
    ends = sorted(begun_ns + dice.randrange(days_ns) for _ in range(kills))
    for end_ns in ends:
        asks, last_asks, more_s = dice.randrange(40), dice.randrange(1, 8), dice.uniform(0, 0.006)
        lives.start()
        _attach(desk, asks)
        while desk.clock.now_ns() < end_ns - STEP_NS:
            desk.clock.step(STEP_NS)
            _asked(desk, 20, first_s=_REST_S)
        # The last step makes everything due, and the kill strikes somewhere in the pulls.
        desk.clock.step_to(end_ns)
        outcome.busy += _asked(desk, last_asks, first_s=_REST_S)
        time.sleep(more_s)
        outcome.kills += lives.kill() == -signal.SIGKILL
    desk.clock.step_to(begun_ns + days_ns)


def _attach(desk: Any, asks: int) -> None:
    """Wait until a new life has asked so much, or rests, or may ask nothing."""
    known, until_s = len(desk.venue.seen), time.monotonic() + PATIENCE_S
    while len(desk.venue.seen) == known and time.monotonic() < until_s:
        if _asked(desk, asks, first_s=1):
            return
        # A connection that was refused is tried again after a while, which must pass.
        desk.clock.step(SECOND_NS)


def _asked(desk: Any, asks: int, first_s: float) -> bool:
    """Wait until a life has asked so much (True) or rests; `first_s` is for the first request."""
    seen = desk.venue.seen
    known, most = len(seen), len(seen) + asks
    until_s = time.monotonic() + first_s
    while len(seen) < most and time.monotonic() < until_s:
        time.sleep(_LOOK_S)
        if len(seen) > known:
            known, until_s = len(seen), time.monotonic() + _REST_S
    return len(seen) >= most


def _live_well(lives: Nursery, desk: Any, row: Row) -> None:
    """Let the last life catch up in peace, and stop it."""
    lives.start()
    _attach(desk, 40)
    for _ in range(3):
        desk.clock.step(STEP_NS)
        _asked(desk, 100, first_s=10 * _REST_S)
    deadline_s = time.monotonic() + 3 * PATIENCE_S
    while _missing(row, desk) and time.monotonic() < deadline_s:
        desk.clock.step(MINUTE_NS)
        _asked(desk, 100, first_s=10 * _REST_S)
    assert lives.stop() == 0


def _missing(row: Row, desk: Any) -> int:
    with Journal.open(desk.journal.path, readonly=True) as desk.journal:
        return sum(sum(_apart(desk, name)[0].values()) for name in row.facts)


def _apart(desk: Any, name: str) -> tuple[Counter[Any], Counter[Any]]:
    """Return what the book lacks and what it has too much, of one kind of fact."""
    wanted, had = getattr(desk, f"true_{name}")(), getattr(desk, name)()
    if not isinstance(wanted, list):
        wanted, had = [wanted], [had]
    return Counter(wanted) - Counter(had), Counter(had) - Counter(wanted)


async def _compare(row: Row, desk: Any, outcome: Outcome) -> None:
    outcome.late = _missing(row, desk)
    desk.journal = Journal.open(desk.journal.path)
    if outcome.late:
        await desk.attach()
        for _ in range(2):  # the first round may only end what a life has begun
            await desk.pull(deep=True)
    gaps = [(gap.ts_ns, gap.until_ns) for gap in desk.gaps()]
    for name in row.facts:
        lacking, extra = _apart(desk, name)
        wanted = getattr(desk, f"true_{name}")()
        count = len(wanted) if isinstance(wanted, list) else 1
        outcome.wanted += count
        outcome.had += count - lacking.total()
        outcome.doubled += extra.total()
        outcome.lost += sum(
            times
            for fact, times in lacking.items()
            if not any(start <= _at_ns(fact) < end for start, end in gaps)
        )
    outcome.bans = desk.venue.limiter.bans
    outcome.positions, astray = _positions(desk)
    outcome.astray = len(astray)
    assert not astray, astray


def _positions(desk: Any) -> tuple[int, list[tuple[object, ...]]]:
    """Return how many positions in contracts the world holds or the book has ever had, and those
    that are not what they should be: (position, ours, theirs).

    Of a market that goes on under another name nothing tells that both names are one.
    """
    renamed = {market.symbol for market in desk.world.renamed}
    renamed |= {name for _, name in desk.world.renamed.values()}
    ledger = fold_claims(desk.journal.claims())
    ours = {
        (key.instrument, key.position_side): from_scaled(
            int(group.venue.outputs.position_after[len(group) - 1]), group.columns.terms.qty_scale
        )
        for group in ledger.groups
        if len(group) and group.columns.contract.contract != "spot"
        if not (key := group.columns.key).instrument.startswith("-")
    }
    theirs = {
        (each.market.symbol, each.position_side): each.qty
        for each in desk.world.positions(desk.who)
        if each.market.contract != "spot"
    }
    places = sorted(p for p in ours.keys() | theirs.keys() if p[0] not in renamed)
    both = [(place, ours.get(place, 0), theirs.get(place, 0)) for place in places]
    return len(both), [each for each in both if each[1] != each[2]]


def _at_ns(fact: Any) -> int:
    return int(fact[0]) * 1_000_000 if isinstance(fact, tuple) else -1
