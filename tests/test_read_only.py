"""The read-only proof: everything that talks to a venue is driven, and sends nothing but reads.

The reads are spelled out here a second time, from the venues' own pages, so that the list in the
program cannot grow unseen; and what was really sent is taken where it leaves the process.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection

from fillbook.desks.telemetry import PerformanceTelemetry
from fillbook.desks.trade_monitor import TradeMonitor
from fillbook.ground.clock import DAY_NS, HOUR_NS, SECOND_NS
from fillbook.ground.live_settings import AttachSettings, MonitorSettings
from fillbook.ground.settings import Settings
from fillbook.monitor.pidfile import PidFile
from fillbook.monitor.service import Monitor
from fillbook.sim.cast import COINBASE_BOT, HEDGE, PERPS, SWING
from fillbook.sim.clock import SimClock, SimPace
from fillbook.sim.live import LiveWorld
from fillbook.sim.venues.base import VenueServer
from fillbook.sim.venues.binance.server import BinanceServer
from fillbook.sim.venues.calls import Key
from fillbook.sim.venues.coinbase.keys import new_secret
from fillbook.sim.venues.coinbase.server import CoinbaseServer
from fillbook.sim.venues.hyperliquid.server import HyperliquidServer
from fillbook.sim.world import START_MS
from fillbook.sources.attach import Tools, open_account
from fillbook.sources.binance.socket import UserListener
from fillbook.sources.examining import examine
from fillbook.sources.faults import SourceError
from fillbook.sources.reads import VENUES
from fillbook.sources.redact import Redactor

SOURCE = Path(__file__).parent.parent / "src" / "fillbook"
MS = 1_000_000

# -- what may be sent, spelled a second time ------------------------------------------------------

BROKERAGE = "GET /api/v3/brokerage"
LISTED = {
    "hyperliquid": {
        f"POST /info {kind}"
        for kind in (
            *("allMids", "clearinghouseState", "frontendOpenOrders", "historicalOrders", "meta"),
            *("metaAndAssetCtxs", "openOrders", "orderStatus", "perpDexs", "spotMeta"),
            *("spotClearinghouseState", "spotMetaAndAssetCtxs", "userFees", "userFills"),
            *("userFillsByTime", "userFunding", "userNonFundingLedgerUpdates", "userRateLimit"),
            *("userRole", "userTwapSliceFills", "userTwapSliceFillsByTime"),
        )
    },
    "binance": {
        *(
            f"GET /fapi/v1/{path}"
            for path in (
                *("allAlgoOrders", "allOrders", "commissionRate", "exchangeInfo", "feeBurn"),
                *("forceOrders", "fundingRate", "income", "indexPriceKlines", "openAlgoOrders"),
                *("openOrders", "positionSide/dual", "premiumIndex", "time", "userTrades"),
            )
        ),
        *(f"GET /fapi/v3/{path}" for path in ("account", "balance", "positionRisk")),
        "POST /fapi/v1/listenKey",
        "PUT /fapi/v1/listenKey",
        "GET /sapi/v1/account/apiRestrictions",
        "GET /api/v3/account",
    },
    "coinbase": {
        f"{BROKERAGE}/{path}"
        for path in (
            *("accounts", "best_bid_ask", "cfm/balance_summary", "cfm/positions", "cfm/sweeps"),
            *("intx/balances/{}", "intx/portfolio/{}", "intx/positions/{}", "key_permissions"),
            *("orders/historical/batch", "orders/historical/fills", "orders/historical/{}"),
            *("portfolios", "products", "products/{}", "time", "transaction_summary"),
        )
    },
}
# Permitted, and asked by nothing today: for questions that a later version or a case may need.
NOT_ASKED = {
    "hyperliquid": {
        f"POST /info {kind}"
        for kind in (
            *("metaAndAssetCtxs", "openOrders", "orderStatus", "perpDexs", "userFees"),
            *("spotMetaAndAssetCtxs", "userFills", "userRateLimit", "userTwapSliceFills"),
            "userTwapSliceFillsByTime",
        )
    },
    "binance": {
        f"GET /fapi/v1/{path}"
        for path in (
            *("commissionRate", "exchangeInfo", "feeBurn", "forceOrders", "fundingRate"),
            *("openAlgoOrders", "positionSide/dual"),
        )
    },
    "coinbase": {
        f"{BROKERAGE}/{path}"
        for path in (
            *("accounts", "cfm/balance_summary", "cfm/sweeps", "intx/balances/{}"),
            *("intx/portfolio/{}", "portfolios", "products/{}", "transaction_summary"),
        )
    },
}


def test_the_program_permits_exactly_the_reads_that_are_spelled_here() -> None:
    permitted = {
        name: {
            f"{read.method} {read.path}" + (f" {kind}" if kind else "")
            for read in reads.reads
            for kind in sorted(read.types) or [""]
        }
        for name, reads in VENUES.items()
    }
    assert permitted == LISTED


# -- the doors ------------------------------------------------------------------------------------

NETWORK = ("httpx", "websockets", "http.client", "urllib.request", "socket", "ssl", "requests")
DOORS = {
    "sources/transport.py": "the one door to a venue over HTTP, behind the list of reads",
    "sources/sockets.py": "the one door to a venue's websocket, behind the list of messages",
    "publish/webhook.py": "posts finished trades to a URL of the user's, never to a venue",
    "client.py": "a bot's way to the monitor on its own machine",
    "cli/monitoring.py": "asks the running monitor for its health",
    "cli/configured.py": "looks whether a port of this machine is taken",
    "monitor/serving.py": "listens",
    "sim/venues/front.py": "listens, and asks for names under .invalid, which nobody has",
    "sim/venues/wire.py": "listens",
}


def test_only_the_doors_know_the_network() -> None:
    users = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            opens = called.endswith(("open_connection", "create_connection"))
            if opens or any(n == lib or n.startswith(f"{lib}.") for n in names for lib in NETWORK):
                users.add(path.relative_to(SOURCE).as_posix())
    assert users == set(DOORS)


# -- everything at once ---------------------------------------------------------------------------


class Wire:
    """What leaves this process: every request and every websocket message, where it leaves."""

    def __init__(self) -> None:
        self.sent: dict[int, set[str]] = {}
        self.messages: list[tuple[int, dict[str, Any]]] = []

    def request(self, request: httpx.Request) -> None:
        path = request.url.path
        said = f"{request.method} {path}"
        if request.content:
            said += f" {json.loads(request.content)['type']}"
        self.sent.setdefault(request.url.port or 0, set()).add(said)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Listen at the last place before the sockets."""
    wire = Wire()
    send, say = httpx.AsyncHTTPTransport.handle_async_request, ClientConnection.send

    async def sending(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        wire.request(request)
        return await send(self, request)

    async def saying(self: ClientConnection, message: Any, *args: Any, **more: Any) -> None:
        wire.messages.append((self.remote_address[1], json.loads(message)))
        await say(self, message, *args, **more)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", sending)
    monkeypatch.setattr(ClientConnection, "send", saying)
    return wire


class Called:
    """Names the modules of `sources` of which at least one function has run."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self._room = str(SOURCE / "sources")

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self._room) and code.co_name != "<module>":
            self.modules.add(Path(code.co_filename).relative_to(self._room).as_posix())


WHO = {"binance": [HEDGE], "coinbase": [COINBASE_BOT, PERPS]}


class Markets:
    """One world with accounts on each venue, and the three venues over it."""

    def __init__(self, folder: Path) -> None:
        owners = [SWING, *(owner for owned in WHO.values() for owner in owned)]
        world = LiveWorld(5, accounts=owners)
        world.advance_to(START_MS * MS + 3 * HOUR_NS)
        self.clock = SimClock(world.now_ns)
        self._files: dict[str, list[Path]] = {}
        keys: dict[str, list[Key]] = {}
        for venue, owned in WHO.items():
            for nth, owner in enumerate(owned):
                name = f"organizations/of-{venue}/apiKeys/key-number-{nth}"
                secret = "s" * 40 if venue == "binance" else new_secret()
                path = folder / f"{venue}{nth}.json"
                path.write_text(json.dumps({"name": name, "secret": secret}))
                path.chmod(0o600)
                self._files.setdefault(venue, []).append(path)
                keys.setdefault(venue, []).append(Key(name=name, secret=secret, account=owner))
        self.servers: dict[str, VenueServer] = {
            "hyperliquid": HyperliquidServer(world, self.clock),
            "binance": BinanceServer(world, self.clock, keys=keys["binance"]),
            "coinbase": CoinbaseServer(world, self.clock, keys=keys["coinbase"]),
        }

    def attach(self) -> tuple[AttachSettings, ...]:
        """Return an entry per account."""
        found = [self._entry("hyperliquid", "swing", address=SWING)]
        for venue, paths in self._files.items():
            found += [self._entry(venue, path.stem, key_file=str(path)) for path in paths]
        return tuple(found)

    def testnet(self) -> AttachSettings:
        """Return an entry of a testnet, where there is nothing but futures."""
        return self._entry(
            "binance", "testnet", ("fapi", "ws"), key_file=str(self._files["binance"][0])
        )

    def _entry(
        self, venue: str, label: str, roles: tuple[str, ...] = (), **who: Any
    ) -> AttachSettings:
        server, reads = self.servers[venue], VENUES[venue]
        urls = {host.role: server.base_url for host in reads.hosts}
        urls |= {host.role: server.ws_url for host in reads.sockets}
        urls = {role: url for role, url in urls.items() if not roles or role in roles}
        return AttachSettings(venue=venue, label=label, share=Decimal(1), urls=urls, **who)

    def go_on(self, step_ns: int) -> None:
        """Let a little time pass, and let every stream tell of it."""
        self.clock.step(step_ns)
        for server in self.servers.values():
            server.settle()


@pytest.fixture
def markets(tmp_path: Path) -> Iterator[Markets]:
    markets = Markets(tmp_path)
    servers = list(markets.servers.values())
    with servers[0], servers[1], servers[2]:
        yield markets


async def until(markets: Markets, done: Callable[[], object], step_ns: int) -> None:
    for _ in range(3_000):
        if done():
            return
        markets.go_on(step_ns)
        await asyncio.sleep(0.02)
    raise AssertionError("waited in vain")


async def watched(markets: Markets, folder: Path) -> None:
    """Attach all three, let a day and more pass, and let the doctor look at each."""
    settings = Settings(attach=markets.attach(), monitor=MonitorSettings(port=0))
    tools = Tools(SimPace(markets.clock), redactor=Redactor())
    monitor = Monitor(folder / "book.db", settings, folder, lambda line: None, tools)
    stop = asyncio.Event()
    with PidFile(folder / "pid", folder / "book.db") as pid_file:
        running = asyncio.create_task(monitor.run(stop, pid_file))

        def are_running() -> bool:
            accounts = monitor.health().accounts
            return all(
                account.state == "running"
                and account.streams
                and all(stream.state == "running" for stream in account.streams)
                for account in accounts
            )

        await until(markets, are_running, SECOND_NS // 5)
        sys.settrace(None)
        # Long enough for the rounds that go far back, and the daily look at the keys.
        end_ns = markets.clock.now_ns() + 27 * HOUR_NS
        await until(markets, lambda: markets.clock.now_ns() > end_ns, HOUR_NS)
        await until(markets, are_running, SECOND_NS)
        stop.set()
        await running


async def on_their_own(markets: Markets) -> None:
    """What a quiet account never needs: the doctor, a testnet, prices and dexes nobody told."""
    tools = Tools(SimPace(markets.clock), redactor=Redactor())
    stepping = asyncio.create_task(until(markets, lambda: False, SECOND_NS // 5))
    for entry in markets.attach():
        examined = await examine(entry, tools)
        told = {check.area: check.state for check in examined.checks}
        assert told["key"] == told["venue"] == "ok", examined
    await examine(markets.testnet(), tools)
    account = open_account(markets.attach()[0], tools)
    await account.identify()
    await account.marks(["BTC"], markets.clock.now_ns())
    with suppress(SourceError):
        await account.discover(["nowhere:BTC"], markets.clock.now_ns())
    await account.close()
    account = open_account(markets.attach()[1], tools)
    listener = UserListener(account.read, tools.pace, tools.redactor, lambda symbol: None)
    await listener.opening()
    await listener.keep(None)  # type: ignore[arg-type]
    await account.close()
    stepping.cancel()


def test_nothing_but_listed_reads_leaves_the_program(
    tmp_path: Path, markets: Markets, wire: Wire
) -> None:
    called, before = Called(), sys.gettrace()

    async def whole() -> None:
        for part in (watched(markets, tmp_path), on_their_own(markets)):
            sys.settrace(called)  # type: ignore[arg-type]
            await part

    try:
        asyncio.run(whole())
    finally:
        sys.settrace(before)
    ports = {int(s.base_url.rsplit(":", 1)[1]): venue for venue, s in markets.servers.items()}
    assert set(wire.sent) <= set(ports), "something was sent to somebody else"
    for server in markets.servers.values():
        assert server.violations == []
    unseen = {
        venue: LISTED[venue] - {listed(said, LISTED[venue]) for said in wire.sent[port]}
        for port, venue in ports.items()
    }
    assert unseen == NOT_ASKED
    for _, message in wire.messages:
        verb = message.get("method") or message.get("type")
        assert verb in ("subscribe", "unsubscribe", "ping"), message
    rooms = [path for venue in VENUES for path in (SOURCE / "sources" / venue).glob("*.py")]
    live = {
        path.relative_to(SOURCE / "sources").as_posix()
        for path in rooms
        if path.stem not in ("__init__", "fills")
    }
    assert len(live) > 30 and live - called.modules == set()


def listed(said: str, reads: set[str]) -> str:
    """Return the listed read that a request is; a plain one before one with a hole in it."""
    for read in sorted(reads, key=lambda read: "{}" in read):
        if re.fullmatch("[^/ ]+".join(re.escape(part) for part in read.split("{}")), said):
            return read
    raise AssertionError(f"{said} is no listed read")


# -- the desks -----------------------------------------------------------------------------------


# Every name by which a desk may reach for something of a bot's own clients; all of them read.
REACHED = {
    *("get_income_history", "get_position_risk", "get_positions", "position_risk"),
    *("futures_position_information", "get_portfolio_breakdown"),
}


class Strict:
    """A bot's own client: whatever is reached for that is no known read fails the test."""

    def __init__(self, **answers: object) -> None:
        self._answers = answers
        self.called: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        assert name in REACHED, f"a desk reaches for {name}"
        if name not in self._answers:
            raise AttributeError(name)

        def read(**query: object) -> object:
            self.called.add(name)
            return self._answers[name]

        return read


def test_the_desks_ask_a_bots_clients_for_their_reads_only(tmp_path: Path) -> None:
    rest = Strict(get_income_history=[], get_position_risk=[])

    async def loop(desk: PerformanceTelemetry) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(desk.telemetry_loop(), 2.0)

    with PerformanceTelemetry(rest, log_dir=tmp_path / "logs", clock=lambda: 40 * DAY_NS) as desk:
        asyncio.run(desk.fetch_costs_from_binance())
        asyncio.run(desk.get_income_history("COMMISSION"))
        desk.update_metrics()
        desk.run_daily_summary()
        asyncio.run(loop(desk))
    assert "get_income_history" in rest.called
    platform = Strict(get_portfolio_breakdown={"positions": []})
    monitor = TradeMonitor(platform, 0.05, 0.05, folder=tmp_path / "trades")
    assert monitor.poll()
    assert platform.called == {"get_portfolio_breakdown"}
