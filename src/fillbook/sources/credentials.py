"""Where keys come from: the environment, or a file nobody else may read. They go nowhere else."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.sources.redact import LEAST_SECRET, Redactor

_KEY_NAMES = ("key", "apiKey", "api_key", "name")
_SECRET_NAMES = ("secret", "secretKey", "secret_key", "api_secret", "privateKey", "private_key")
_LINE = re.compile(r"\s*([A-Za-z_]+)\s*[:=]\s*(.*?)\s*")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_PRIVATE_KEY = re.compile(r"(?:0x)?[0-9a-fA-F]{64}")


class Credentials:
    """A key and its secret. Printing one shows neither."""

    __slots__ = ("key", "secret")

    def __init__(self, key: str, secret: str) -> None:
        self.key = key
        self.secret = secret

    def __repr__(self) -> str:
        return f"Credentials({self.hint})"

    @property
    def hint(self) -> str:
        """Return the end of the key's name, enough to find it in a venue's list.

        >>> Credentials("abcdefghijkl", "s" * 20).hint
        '…ijkl'
        """
        return f"…{self.key[-4:]}"


def load_credentials(
    settings: AttachSettings, environ: Mapping[str, str], redactor: Redactor
) -> Credentials | None:
    """Read the key of an account, and teach it to the redactor; None for an address.

    ConfigError names what is missing or unsafe, and never what the key is.
    """
    if settings.key_file is not None:
        key, secret = _from_file(Path(settings.key_file).expanduser())
        where = settings.key_file
    elif settings.key_env is not None and settings.secret_env is not None:
        where = f"{settings.key_env}, {settings.secret_env}"
        key, secret = (environ.get(n, "") for n in (settings.key_env, settings.secret_env))
    else:
        return None
    if min(len(key.strip()), len(secret.strip())) < LEAST_SECRET:
        raise ConfigError(
            "the key or its secret is missing or too short to be one",
            where,
            "docs/attaching.md shows the forms that are read",
        )
    redactor.learn(key)
    redactor.learn(secret)
    # Environment variables cannot hold line ends well, so PEM texts carry them written out.
    return Credentials(key.strip(), secret.strip().replace("\\n", "\n"))


def public_address(settings: AttachSettings, redactor: Redactor) -> str:
    """Return the address of an account, in lower case; a private key is refused unseen."""
    text = (settings.address or "").strip()
    if _PRIVATE_KEY.fullmatch(text):
        redactor.learn(text)
        raise ConfigError(
            "this is a private key, not an address; Fillbook must never have it",
            "[[attach]] address",
            "remove it from the file, treat it as exposed, and give the public address instead",
        )
    if not _ADDRESS.fullmatch(text):
        raise ConfigError(
            "an address is 0x and 40 hexadecimal digits",
            "[[attach]] address",
            "copy the public address of the account from the venue's page",
        )
    return text.lower()


def _from_file(path: Path) -> tuple[str, str]:
    try:
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise ConfigError(
                f"others may read this key file (mode {stat.S_IMODE(mode):04o})",
                str(path),
                f"run `chmod 600 {path}`, and make a new key if others could have read it",
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"the key file cannot be read: {reason}", str(path), "check key_file in [[attach]]"
        ) from None
    fields = _fields_of(text)
    key = next((fields[name] for name in _KEY_NAMES if name in fields), "")
    secret = next((fields[name] for name in _SECRET_NAMES if name in fields), "")
    return key, secret


def _fields_of(text: str) -> dict[str, str]:
    """Read a venue's JSON, or lines of `key = …` and `secret = …`."""
    try:
        fields = msgspec.json.decode(text)
    except msgspec.DecodeError:
        found = (_LINE.fullmatch(line) for line in text.splitlines())
        return {line[1]: line[2].strip("\"'") for line in found if line}
    if not isinstance(fields, dict):
        return {}
    return {name: value for name, value in fields.items() if isinstance(value, str)}
