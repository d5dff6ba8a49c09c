"""What bots present to push facts: a secret of their own, never a key of a venue."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import MonitorSettings
from fillbook.sources.redact import EVERYWHERE, Redactor

LEAST_LENGTH = 16


def push_token(
    settings: MonitorSettings, environ: Mapping[str, str], redactor: Redactor = EVERYWHERE
) -> str | None:
    """Read the token, and teach it to the redactor; None where none is set: pushing is off.

    ConfigError for a file that others may read, or a token too short to be a secret.
    """
    where = settings.token_file or settings.token_env
    text = environ.get(settings.token_env, "")
    if settings.token_file is not None:
        text = secret_in(Path(settings.token_file).expanduser(), "token file", "token_file")
    token = text.strip()
    if not token and settings.token_file is None:
        return None
    if len(token) < LEAST_LENGTH or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"the push token needs at least {LEAST_LENGTH} plain characters",
            where,
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    redactor.learn(token)
    return token


def secret_in(path: Path, what: str, key: str) -> str:
    """Read a secret from the file that `key` in [monitor] names; ConfigError unless it is safe."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigError(
            f"the {what} cannot be read", str(path), f"check {key} in [monitor]"
        ) from None
    if mode & 0o077:
        raise ConfigError(
            f"others may read this {what} (mode {mode:04o})", str(path), f"chmod 600 {path}"
        )
    return text
