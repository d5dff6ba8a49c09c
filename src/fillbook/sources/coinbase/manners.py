"""How Coinbase speaks on the wire: error bodies, the clock, and tokens made for one request.

A key of the Developer Platform signs a token (JWT) for each request: it names the key, the
request, and lives two minutes. A websocket subscription takes one that names no request. The
portfolio is the key's; keys come and go, the portfolio stays.
"""

from __future__ import annotations

import base64
import re
import secrets
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import ConfigError
from fillbook.sources.coinbase.state import MILLISECOND_NS
from fillbook.sources.credentials import Credentials
from fillbook.sources.faults import CursorExpiredError, KeyRefusedError, SourceError
from fillbook.sources.manners import Manners, Received, ServerTime, Signed
from fillbook.sources.stream import Ask

KEY_STEPS = (
    "check that the key exists, may view, belongs to the portfolio, and allows this address; "
    "docs/venues/coinbase.md shows how to make one"
)

LIFE_NS = 120 * SECOND_NS
# A token may not be used before its time, so it begins a little behind the venue's clock.
_BEHIND_NS = 5 * SECOND_NS
_TIME = re.compile(r'"epochMillis"\s*:\s*"?(\d{13})"?')
_ED25519_BYTES = (32, 64)


class _Told(msgspec.Struct):
    """The venue's words about an error."""

    error: str = ""
    message: str = ""
    error_details: str = ""


class CoinbaseManners(Manners):
    """Reads the time to the millisecond, and tells a forgotten cursor from another refusal."""

    def fault(self, ask: Ask, received: Received, where: str) -> SourceError | None:
        """Return the fault an answer stands for, or None when it is a good one."""
        if received.status in (401, 403):
            return KeyRefusedError(
                f"the venue refuses the key (status {received.status}): {received.text}",
                where,
                KEY_STEPS,
            )
        has_cursor = any(name == "cursor" for name, _ in ask.query)
        if received.status in (400, 404, 410) and has_cursor:
            words = told_by(received)
            return CursorExpiredError(
                f"the venue does not know its cursor any more: {words}",
                where,
                "nothing to do: the round is begun anew",
            )
        return super().fault(ask, received, where)

    def server_time(self, received: Received) -> ServerTime | None:
        """Return the venue's clock: to the millisecond where the answer is the time itself."""
        told = _TIME.search(received.text) if len(received.text) < 400 else None
        if told is None:
            return super().server_time(received)
        return ServerTime(int(told[1]) * MILLISECOND_NS, MILLISECOND_NS)


def told_by(received: Received) -> str:
    """Return what an error body says.

    >>> told_by(Received(status=400, text='{"error":"INVALID_ARGUMENT","message":"no"}',
    ...     headers={}))
    'INVALID_ARGUMENT no'
    """
    try:
        told = msgspec.json.decode(received.text, type=_Told)
    except msgspec.DecodeError:
        return received.text
    words = dict.fromkeys((told.error, told.message, told.error_details))
    return " ".join(word for word in words if word)


class CoinbaseSigner:
    """Makes tokens with the kind of key that was given: ECDSA (PEM), or Ed25519."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._private, self._algorithm = _private_key(credentials)

    def sign(self, ask: Ask, base_url: str, now_ns: int) -> Signed:
        """Return query and headers for one sending at `now_ns`, the venue's clock."""
        uri = f"{ask.method} {urlsplit(base_url).netloc}{ask.path}"
        return Signed(
            query=ask.query, headers={"authorization": f"Bearer {self.token(now_ns, uri)}"}
        )

    def token(self, now_ns: int, uri: str | None = None) -> str:
        """Return a token for one request, or for one subscription where no `uri` is given."""
        name = self._credentials.key
        begins_s = (now_ns - _BEHIND_NS) // SECOND_NS
        claims: dict[str, object] = {
            "sub": name,
            "iss": "cdp",
            "nbf": begins_s,
            "exp": begins_s + LIFE_NS // SECOND_NS,
        }
        if uri is not None:
            claims["uri"] = uri
        return jwt.encode(
            claims,
            self._private,
            algorithm=self._algorithm,
            headers={"kid": name, "nonce": secrets.token_hex(16)},
        )


def _private_key(
    credentials: Credentials,
) -> tuple[EllipticCurvePrivateKey | Ed25519PrivateKey, str]:
    secret = credentials.secret
    if secret.startswith("-----BEGIN"):
        try:
            key = load_pem_private_key(secret.encode(), password=None)
        except (ValueError, TypeError):
            key = None
        if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
            return key, "ES256"
        if isinstance(key, Ed25519PrivateKey):
            return key, "EdDSA"
    else:
        try:
            seed = base64.b64decode(secret, validate=True)
        except ValueError:
            seed = b""
        # The platform writes seed and public key behind each other.
        if len(seed) in _ED25519_BYTES:
            return Ed25519PrivateKey.from_private_bytes(seed[:32]), "EdDSA"
    raise ConfigError(
        "the secret is neither a PEM text of a P-256 key nor an Ed25519 key in base64",
        f"the Coinbase key {credentials.hint}",
        "download the key of the Developer Platform again and name its JSON as key_file",
    )
