"""How Binance speaks on the wire: error codes in bodies, used weight in headers, signatures.

An error is `{"code": -n, "msg": "..."}`, mostly with status 400, so the code decides and not the
status. A web firewall answers 403, a country that is not served 451. Time windows: a signed time
may lie a second ahead of the venue's clock and `recvWindow` behind it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.sources.binance.fills import MILLISECOND_NS
from fillbook.sources.credentials import Credentials
from fillbook.sources.faults import (
    ClockSkewError,
    KeyRefusedError,
    RateLimitedError,
    RefusedError,
    SourceError,
    VenueFailedError,
)
from fillbook.sources.manners import (
    Manners,
    Received,
    ServerTime,
    Signed,
    query_text,
    retry_after_ns,
)
from fillbook.sources.stream import Ask

NO_LISTEN_KEY = "-1125"
KEY_STEPS = (
    "check that the key exists, may read, and allows this address; if futures history stays "
    "closed to a reading key, docs/venues/binance.md tells the one exception"
)

_KEY_HEADER = "X-MBX-APIKEY"
_RECEIVE_MS = 10_000
# Ahead of the venue's clock is refused sooner than behind it.
_BEHIND_NS = SECOND_NS

_LIMITED = frozenset({-1003, -1015, -1034})
_FAILED = frozenset({-1000, -1001, -1006, -1007, -1008, -1016})
_KEY = frozenset({-1002, -1022, -2014, -2015, -2017})
_CLOCK = frozenset({-1021, -5028})
_TIME = re.compile(r'\s*\{\s*"serverTime"\s*:\s*(\d{13})\s*\}\s*')
_BANNED_UNTIL = re.compile(r"until (\d{13})")


class Told(msgspec.Struct):
    """The venue's words about an error; `code` is 0 or above where there is none."""

    code: int = 0
    msg: str = ""


class BinanceManners(Manners):
    """Reads error codes and used weight; `counts_weight` is off where another limit is counted."""

    def __init__(self, *, counts_weight: bool = True) -> None:
        self._counts_weight = counts_weight

    def fault(self, ask: Ask, received: Received, where: str) -> SourceError | None:
        """Return the fault an answer stands for, or None when it is a good one."""
        told, status = told_by(received), received.status
        if told.code >= 0 and status not in (403, 429, 418, 451):
            return super().fault(ask, received, where)
        words = f"{told.code} {told.msg}".strip() if told.code < 0 else f"status {status}"
        if told.code in _LIMITED or status in (403, 418, 429):
            return self._limited(received, told, where, words)
        if told.code in _CLOCK:
            next_step = "set the machine's clock by NTP; it is tried again with the venue's time"
            return ClockSkewError(f"the venue calls our time wrong: {words}", where, next_step)
        if told.code in _KEY:
            return KeyRefusedError(f"the venue refuses the key: {words}", where, KEY_STEPS)
        if told.code in _FAILED or status >= 500:
            next_step = "nothing to do: it is tried again"
            return VenueFailedError(f"the venue failed: {words}", where, next_step)
        if status == 451:
            next_step = "attach from a machine in a country that Binance serves"
            return RefusedError("the venue does not serve this place", where, next_step)
        next_step = "if its words do not help, a newer Fillbook may be needed"
        return RefusedError(f"the venue refuses this read: {words}", where, next_step)

    def _limited(self, received: Received, told: Told, where: str, words: str) -> RateLimitedError:
        banned = received.status == 418
        wait_ns = retry_after_ns(received.headers)
        until = _BANNED_UNTIL.search(told.msg)
        if until is not None:
            banned = True
            server = self.server_time(received)
            if wait_ns is None and server is not None:
                wait_ns = max(0, int(until[1]) * MILLISECOND_NS - server.at_ns)
        return RateLimitedError(
            f"the venue limits our requests: {words}",
            where,
            "nothing to do: pulling goes on by itself, more slowly",
            retry_after_ns=wait_ns,
            banned=banned,
        )

    def used(self, received: Received) -> int | None:
        """Return the weight this address has used in the current minute, as the venue counts."""
        text = received.headers.get("x-mbx-used-weight-1m", "") if self._counts_weight else ""
        return int(text) if text.isascii() and text.isdigit() else None

    def server_time(self, received: Received) -> ServerTime | None:
        """Return the venue's clock: to the millisecond where the answer is the time itself."""
        told = _TIME.fullmatch(received.text)
        if told is None:
            return super().server_time(received)
        return ServerTime(int(told[1]) * MILLISECOND_NS, MILLISECOND_NS)


def told_by(received: Received) -> Told:
    """Return the error an answer tells of; code 0 where it tells of none.

    >>> told_by(Received(status=400, text='{"code":-1121,"msg":"Invalid symbol."}', headers={}))
    Told(code=-1121, msg='Invalid symbol.')
    """
    if not received.text.startswith("{"):
        return Told()
    try:
        return msgspec.json.decode(received.text, type=Told)
    except msgspec.DecodeError:
        return Told()


class BinanceSigner:
    """Signs with the kind of key that was given: an HMAC secret, or an Ed25519 key as PEM."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._private = _private_key(credentials)

    def sign(self, ask: Ask, base_url: str, now_ns: int) -> Signed:
        """Return query and headers for one sending at `now_ns`, the venue's clock."""
        headers = {_KEY_HEADER: self._credentials.key}
        if ask.auth != "signed":
            return Signed(query=ask.query, headers=headers)
        stamp = str((now_ns - _BEHIND_NS) // MILLISECOND_NS)
        query = (*ask.query, ("recvWindow", str(_RECEIVE_MS)), ("timestamp", stamp))
        signature = self._signature(query_text(query).encode())
        return Signed(query=(*query, ("signature", signature)), headers=headers)

    def _signature(self, payload: bytes) -> str:
        if self._private is not None:
            return base64.b64encode(self._private.sign(payload)).decode()
        secret = self._credentials.secret.encode()
        return hmac.new(secret, payload, hashlib.sha256).hexdigest()


def _private_key(credentials: Credentials) -> Ed25519PrivateKey | None:
    if not credentials.secret.startswith("-----BEGIN"):
        return None
    try:
        key = load_pem_private_key(credentials.secret.encode(), password=None)
    except (ValueError, TypeError):
        key = None
    if isinstance(key, Ed25519PrivateKey):
        return key
    raise ConfigError(
        "the secret is a PEM text, but not an Ed25519 private key without a password",
        f"the Binance key {credentials.hint}",
        "make an Ed25519 or HMAC key; its secret may also be plain text",
    )
