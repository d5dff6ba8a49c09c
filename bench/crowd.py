"""Ten thousand open positions over fifty accounts: calls per poll, and memory.

A venue with fifty accounts of two hundred positions each, opened by as many fills, runs in a
process of its own, and the monitor in another, whose peak memory is all its own. Beside it stands
the rival who asks once for every position.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.venue import UNLIMITED, Venue, running
from bench.watched import monitoring

from fillbook.ground.clock import HOUR_NS, MINUTE_NS
from fillbook.monitor.service import Monitor
from fillbook.sim.clock import SimClock
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.calls import Answer, Call, Read
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.venues.limits import Limit, Limiter

ACCOUNTS = [f"0x{nth:040x}" for nth in range(1, 51)]
COINS = [f"C{nth}" for nth in range(200)]
POLLS, EVERY_S, MOST_S, GOAL_MB = 4, 5, 150, 500


class CrowdServer(HyperliquidServer):
    """Answers for every account alike: it opened a position in each coin an hour ago."""

    def reads(self) -> Sequence[Read]:
        """Return the listed reads, with answers of our own."""
        ours = {
            "userRole": lambda call: {"role": "user"},
            "userFillsByTime": self._fills,
            "clearinghouseState": self._state,
            "spotClearinghouseState": lambda call: {"balances": []},
            "meta": lambda call: {"universe": [_described(coin) for coin in COINS]},
            "spotMeta": lambda call: {"universe": [], "tokens": []},
            "allMids": lambda call: {coin: _price(call) for coin in COINS},
        }
        empty = ("userFunding", "userNonFundingLedgerUpdates", "historicalOrders")
        ours |= {name: lambda call: [] for name in (*empty, "frontendOpenOrders", "openOrders")}
        told = {name: _answering(answer) for name, answer in ours.items()}
        return [
            Read(name=r.name, method=r.method, path=r.path, weight=1, answer=told[r.name])
            for r in super().reads()
            if r.name in told
        ]

    def _fills(self, call: Call) -> list[dict[str, Any]]:
        asked = json.loads(call.body)
        opened_ms = self.opened_ms
        if not asked["startTime"] <= opened_ms <= asked.get("endTime", opened_ms):
            return []
        place = ACCOUNTS.index(asked["user"]) * len(COINS)
        return [_fill(coin, opened_ms, place + nth + 1) for nth, coin in enumerate(COINS)]

    def _state(self, call: Call) -> dict[str, Any]:
        sums = ("accountValue", "totalNtlPos", "totalRawUsd", "totalMarginUsed")
        summary = dict.fromkeys(sums, "20000.0")
        return {
            "marginSummary": summary,
            "crossMarginSummary": summary,
            "crossMaintenanceMarginUsed": "0.0",
            "withdrawable": "0.0",
            "assetPositions": [_held(coin, _price(call)) for coin in COINS],
            "time": call.now_ms,
        }

    opened_ms = (time.time_ns() - HOUR_NS) // 1_000_000


def run() -> Iterator[tuple[str, str, str]]:
    """Yield calls per poll and the peak of memory; two or three minutes."""
    with tempfile.TemporaryDirectory(prefix="fillbook-bench-") as folder:
        program = [sys.executable, "-m", "bench.crowd", "monitor", folder]
        done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    positions, polls = told["positions"], told["polls"]
    calls = told["calls"] / polls
    yield "asking per position", f"{positions:,} calls a poll", "1.00x"
    yield (
        "the monitor",
        f"{calls:.0f} calls a poll",
        f"1/{positions / calls:.0f} of it, {calls / len(ACCOUNTS):.1f} an account (goal 1)",
    )
    yield (
        "open trades",
        f"{told['trades']:,}",
        f"in the Summary {told['after_s']:.0f} s after the start",
    )
    yield "peak memory", f"{told['peak_mb']:.0f} MB", f"goal {GOAL_MB} MB"


async def _watched(folder: Path, venue: Venue) -> dict[str, float]:
    everything = len(ACCOUNTS) * len(COINS)
    begun_s = time.monotonic()
    async with monitoring(folder, venue, ACCOUNTS, f"{EVERY_S}s") as monitor:
        while _open_now(monitor) < everything:
            await asyncio.sleep(0.1)
        polls, calls = _polls(monitor), int(venue.told("calls"))
        while _polls(monitor) < polls + POLLS * len(ACCOUNTS):
            await asyncio.sleep(0.02)
        asked, done = int(venue.told("calls")) - calls, _polls(monitor) - polls
        while _trades(monitor) < everything and time.monotonic() < begun_s + MOST_S:
            await asyncio.sleep(0.1)
        return {
            "calls": asked,
            "polls": done / len(ACCOUNTS),
            "positions": _open_now(monitor),
            "trades": _trades(monitor),
            "after_s": time.monotonic() - begun_s,
        }


def _open_now(monitor: Monitor) -> int:
    return sum(account.open_positions for account in monitor.health().accounts)


def _trades(monitor: Monitor) -> int:
    summary = monitor.watch.summary
    return 0 if summary is None else len(summary.open_trades)


def _polls(monitor: Monitor) -> int:
    return sum(account.position_calls for account in monitor.health().accounts)


def _answering(answer: Any) -> Any:
    return lambda call: Answer(body=answer(call))


def _price(call: Call) -> str:
    return str(100 + call.now_ms // 1000 % 50)


def _described(coin: str) -> dict[str, Any]:
    return {"name": coin, "szDecimals": 2, "maxLeverage": 50, "marginTableId": 50}


def _fill(coin: str, at_ms: int, tid: int) -> dict[str, Any]:
    return {
        "coin": coin,
        "px": "100.0",
        "sz": "1.0",
        "side": "B",
        "time": at_ms,
        "oid": tid,
        "startPosition": "0.0",
        "dir": "Open Long",
        "closedPnl": "0.0",
        "tid": tid,
        "hash": "0x0",
        "crossed": True,
        "fee": "0.01",
        "feeToken": "USDC",
        "twapId": None,
    }


def _held(coin: str, px: str) -> dict[str, Any]:
    position = {
        "coin": coin,
        "szi": "1.0",
        "entryPx": "100.0",
        "positionValue": px,
        "unrealizedPnl": str(int(px) - 100),
        "returnOnEquity": "0.0",
        "liquidationPx": None,
        "leverage": {"type": "cross", "value": 20},
        "marginUsed": "5.0",
        "maxLeverage": 50,
        "cumFunding": {"allTime": "0.0", "sinceOpen": "0.0", "sinceChange": "0.0"},
    }
    return {"type": "oneWay", "position": position}


def _serve() -> None:
    """Serve until standard input ends; every line of it is answered with the calls so far."""
    now_ns = time.time_ns()
    world = LiveWorld(7, start_ms=now_ns // 1_000_000, accounts=())
    with CrowdServer(world, SimClock(now_ns, speed=1)) as venue:
        venue.limiter = Limiter(Limit(weight=UNLIMITED, window_ns=MINUTE_NS))
        print(venue.base_url, venue.ws_url, flush=True)
        for _ in sys.stdin:
            counts: Counter[str] = venue.counted()
            print(counts["clearinghouseState"], flush=True)


def _monitor(folder: Path) -> None:
    with running("bench.crowd", "serve") as venue:
        told = asyncio.run(_watched(folder, venue))
    told["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve()
    else:
        _monitor(Path(sys.argv[2]))
