"""Keys of a simulated Coinbase: made of an elliptic curve, proved by a token for each request.

A token names its key, the one request it is for, and a stretch of at most two minutes. On a
stream it names no request, and no token counts twice.
"""

from __future__ import annotations

from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from fillbook.ground.clock import SECOND_NS

LIVES_S = 120
# A client's clock may be ahead of the venue's by so much.
_AHEAD_S = 5


def new_secret(kind: str = "ES256") -> str:
    """Return a new private key as PEM text, for "ES256" or "EdDSA"."""
    key = generate_private_key(SECP256R1()) if kind == "ES256" else Ed25519PrivateKey.generate()
    form = PrivateFormat.PKCS8 if kind == "EdDSA" else PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def token_key(token: str) -> str:
    """Return the key that a token names, "" where it is no token."""
    try:
        head = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        return ""
    named = head.get("kid")
    return named if isinstance(named, str) else ""


def is_proved(token: str, name: str, secret: str, now_ns: int, uri: str | None) -> bool:
    """Say whether a token was made with a key, for this request, and is still good.

    `uri` is the request's method, host and path, without its query; None on a stream.
    """
    public = load_pem_private_key(secret.encode(), password=None).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    # The times are judged by the simulated clock.
    by_hand: Any = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud"), False)
    try:
        claims = jwt.decode(token, pem, algorithms=["ES256", "EdDSA"], options=by_hand)
        head = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        return False
    return (
        bool(head.get("nonce"))
        and (claims.get("sub"), claims.get("iss"), claims.get("uri")) == (name, "cdp", uri)
        and _is_good(claims, now_ns)
    )


def _is_good(claims: dict[str, Any], now_ns: int) -> bool:
    since_s, until_s = claims.get("nbf"), claims.get("exp")
    if not isinstance(since_s, int) or not isinstance(until_s, int):
        return False
    now_s = now_ns // SECOND_NS
    return since_s - _AHEAD_S <= now_s < until_s and until_s - since_s <= LIVES_S
