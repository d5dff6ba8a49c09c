"""The complete list of what may ever be sent to a venue. Whatever is not on it is not sent.

This page is the read-only proof to audit: host, method and path of every request, the `type` of
every body where a venue reads by POST, and every message a websocket may carry. Orders,
transfers and withdrawals are not on it, and `check` stands in front of every byte.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

import msgspec

from fillbook.ground.errors import ConfigError
from fillbook.sources.faults import ForbiddenRequestError
from fillbook.sources.stream import Ask

_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"


class Host(msgspec.Struct, frozen=True):
    """A host by its role, with the venue's own address and its testnets."""

    role: str
    url: str
    testnets: tuple[str, ...] = ()


class Read(msgspec.Struct, frozen=True):
    """One permitted request; `{}` in a path stands for one plain segment.

    `types` lists the permitted values of the body's `type`; a read without types has no body.
    """

    path: str
    host: str = "api"
    method: Literal["GET", "POST", "PUT"] = "GET"
    types: frozenset[str] = frozenset()


class Say(msgspec.Struct, frozen=True):
    """What a websocket message may be: the values of its verb field, and all its fields."""

    verb: str
    values: frozenset[str]
    fields: frozenset[str]


class VenueReads(msgspec.Struct, frozen=True, kw_only=True):
    """Everything one venue may be asked. `headers` are the only ones a signature may add."""

    venue: str
    hosts: tuple[Host, ...]
    reads: tuple[Read, ...]
    headers: frozenset[str] = frozenset()
    sockets: tuple[Host, ...] = ()
    socket_paths: tuple[str, ...] = ("/",)
    says: tuple[Say, ...] = ()


HYPERLIQUID = VenueReads(
    venue="hyperliquid",
    hosts=(Host("api", "https://api.hyperliquid.xyz", ("https://api.hyperliquid-testnet.xyz",)),),
    reads=(
        Read(
            "/info",
            method="POST",
            types=frozenset(
                {
                    "allMids",
                    "clearinghouseState",
                    "frontendOpenOrders",
                    "historicalOrders",
                    "meta",
                    "metaAndAssetCtxs",
                    "openOrders",
                    "orderStatus",
                    "perpDexs",
                    "spotClearinghouseState",
                    "spotMeta",
                    "spotMetaAndAssetCtxs",
                    "userFees",
                    "userFills",
                    "userFillsByTime",
                    "userFunding",
                    "userNonFundingLedgerUpdates",
                    "userRateLimit",
                    "userRole",
                    "userTwapSliceFills",
                    "userTwapSliceFillsByTime",
                }
            ),
        ),
    ),
    sockets=(Host("ws", "wss://api.hyperliquid.xyz", ("wss://api.hyperliquid-testnet.xyz",)),),
    socket_paths=("/ws",),
    says=(
        Say(
            "method",
            frozenset({"subscribe", "unsubscribe", "ping"}),
            frozenset({"method", "subscription"}),
        ),
    ),
)

BINANCE = VenueReads(
    venue="binance",
    hosts=(
        Host(
            "fapi",
            "https://fapi.binance.com",
            ("https://testnet.binancefuture.com", "https://demo-fapi.binance.com"),
        ),
        Host("sapi", "https://api.binance.com"),
    ),
    reads=(
        *(
            Read(f"/fapi/{path}", "fapi")
            for path in (
                "v1/allAlgoOrders",
                "v1/allOrders",
                "v1/commissionRate",
                "v1/exchangeInfo",
                "v1/feeBurn",
                "v1/forceOrders",
                "v1/fundingRate",
                "v1/income",
                "v1/indexPriceKlines",
                "v1/openAlgoOrders",
                "v1/openOrders",
                "v1/positionSide/dual",
                "v1/premiumIndex",
                "v1/time",
                "v1/userTrades",
                "v3/account",
                "v3/balance",
                "v3/positionRisk",
            )
        ),
        # A listen key names a stream of events; making and extending one changes nothing else.
        Read("/fapi/v1/listenKey", "fapi", "POST"),
        Read("/fapi/v1/listenKey", "fapi", "PUT"),
        Read("/sapi/v1/account/apiRestrictions", "sapi"),
        Read("/api/v3/account", "sapi"),
    ),
    headers=frozenset({"x-mbx-apikey"}),
    sockets=(
        Host(
            "ws",
            "wss://fstream.binance.com",
            ("wss://fstream.binancefuture.com", "wss://demo-fstream.binance.com"),
        ),
    ),
    socket_paths=("/private/ws", "/private/ws/{}"),
)

COINBASE = VenueReads(
    venue="coinbase",
    hosts=(Host("api", "https://api.coinbase.com"),),
    reads=tuple(
        Read(f"/api/v3/brokerage/{path}")
        for path in (
            "accounts",
            "best_bid_ask",
            "cfm/balance_summary",
            "cfm/positions",
            "cfm/sweeps",
            "intx/balances/{}",
            "intx/portfolio/{}",
            "intx/positions/{}",
            "key_permissions",
            "orders/historical/batch",
            "orders/historical/fills",
            "orders/historical/{}",
            "portfolios",
            "products",
            "products/{}",
            "time",
            "transaction_summary",
        )
    ),
    headers=frozenset({"authorization"}),
    sockets=(
        Host("ws", "wss://advanced-trade-ws-user.coinbase.com"),
        Host("ws-market", "wss://advanced-trade-ws.coinbase.com"),
    ),
    says=(
        Say(
            "type",
            frozenset({"subscribe", "unsubscribe"}),
            frozenset({"type", "channel", "product_ids", "jwt"}),
        ),
    ),
)

VENUES = {reads.venue: reads for reads in (HYPERLIQUID, BINANCE, COINBASE)}


def reads_of(venue: str) -> VenueReads:
    """Return a venue's list; ConfigError names the venues there are.

    >>> reads_of("hyperliquid").hosts[0].url
    'https://api.hyperliquid.xyz'
    """
    known = VENUES.get(venue)
    if known is None:
        raise ConfigError(
            f"{venue!r} is not a venue to attach to",
            "[[attach]] venue",
            f"known: {', '.join(sorted(VENUES))}",
        )
    return known


def urls_of(hosts: tuple[Host, ...], overrides: Mapping[str, str], where: str) -> dict[str, str]:
    """Return role -> base address, overrides applied.

    An override may name a testnet of the venue or this machine, nothing else: a key must never
    travel to a host that a typing error or a stranger has put into a configuration.
    """
    return {host.role: _url_of(host, overrides.get(host.role), where) for host in hosts}


def _url_of(host: Host, override: str | None, where: str) -> str:
    if override is None:
        return host.url
    url = override.rstrip("/")
    if url in (host.url, *host.testnets):
        return url
    if _is_here(url):
        return url
    raise ConfigError(
        f"urls.{host.role} may be {' or '.join((host.url, *host.testnets))}, or an address of "
        "this machine",
        where,
        "leave it out to attach to the venue itself",
    )


def _is_here(url: str) -> bool:
    """Say whether an address is this machine, with or without a port, and nothing more."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for what is no port
    except ValueError:
        return False
    rest = (parts.path, parts.query, parts.fragment, parts.username, parts.password)
    is_plain = parts.scheme in ("http", "ws", "https", "wss") and not any(rest)
    return is_plain and is_loopback(parts.hostname or "")


def is_loopback(hostname: str) -> bool:
    """Say whether a host name is this machine.

    >>> is_loopback("127.0.0.1"), is_loopback("127.0.0.1.example.com")
    (True, False)
    """
    if hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False


def check(reads: VenueReads, ask: Ask) -> None:
    """Raise ForbiddenRequestError unless the ask is exactly one of the venue's reads."""
    for read in reads.reads:
        if (read.method, read.host) == (ask.method, ask.host) and _pattern(read.path).fullmatch(
            ask.path
        ):
            _check_body(reads, read, ask)
            return
    _forbid(reads, ask, "is not on the list of reads")


def _check_body(reads: VenueReads, read: Read, ask: Ask) -> None:
    if not read.types:
        if ask.body:
            _forbid(reads, ask, "carries a body that this read does not have")
        return
    try:
        fields = json.loads(ask.body, object_pairs_hook=_once)
    except ValueError as fault:
        _forbid(reads, ask, f"carries a body that cannot be judged ({fault})")
    asked = fields.get("type") if isinstance(fields, dict) else None
    if not isinstance(asked, str) or asked not in read.types:
        _forbid(reads, ask, f"asks for the type {str(asked)[:40]!r}, which is not on the list")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse two fields of one name: the venue could read the other one."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field occurs twice")
    return fields


def check_socket(reads: VenueReads, role: str, path: str) -> None:
    """Raise ForbiddenRequestError unless a websocket may be opened there; a query is not judged."""
    known = any(host.role == role for host in reads.sockets)
    plain = path.partition("?")[0]
    if known and any(_pattern(each).fullmatch(plain) for each in reads.socket_paths):
        return
    raise ForbiddenRequestError(
        "a websocket is not on the list of reads; it was not opened",
        f"{reads.venue} {role}",
        "this is a fault of Fillbook, please report it",
    )


def check_message(reads: VenueReads, message: Mapping[str, Any]) -> None:
    """Raise ForbiddenRequestError unless a websocket message is one of the venue's."""
    for say in reads.says:
        verb = message.get(say.verb)
        if isinstance(verb, str) and verb in say.values and say.fields.issuperset(message):
            return
    raise ForbiddenRequestError(
        "a websocket message is not on the list of reads; it was not sent",
        f"{reads.venue} websocket, fields {', '.join(sorted(map(str, message)))[:80]}",
        "this is a fault of Fillbook, please report it",
    )


def _forbid(reads: VenueReads, ask: Ask, why: str) -> NoReturn:
    raise ForbiddenRequestError(
        f"{ask.method} {ask.path[:80]} {why}; nothing was sent",
        f"{reads.venue} {ask.host}: {ask.name}",
        "this is a fault of Fillbook, please report it",
    )


@lru_cache(maxsize=256)
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(_SEGMENT.join(re.escape(part) for part in path.split("{}")), re.ASCII)
