"""A key of the Developer Platform as a test makes it."""

from __future__ import annotations

from functools import cache

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

NAME = (
    "organizations/5f2a1b3c-0000-4000-8000-000000000001"
    "/apiKeys/9d8c7b6a-0000-4000-8000-00000000beef"
)


@cache
def private_pem(which: int = 0) -> str:
    """Return a private key of the right curve as PEM text; another one for each number."""
    key = generate_private_key(SECP256R1())
    form = (Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return key.private_bytes(*form).decode()
