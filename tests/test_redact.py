"""Planted secrets never come out again: logs, messages, tracebacks, printed objects."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.sources.credentials import Credentials, load_credentials, public_address
from fillbook.sources.redact import MASK, Redactor


def attach(**options: str) -> AttachSettings:
    return AttachSettings(venue="binance", **options)  # type: ignore[arg-type]


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("key = abcdefgh12345\nsecret = s3cr3t-s3cr3t-s3cr3t\n", encoding="utf-8")
    for mode in (0o644, 0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(ConfigError) as caught:
            load_credentials(attach(key_file=str(path)), {}, Redactor())
        assert f"chmod 600 {path}" in caught.value.next_step
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    redactor = Redactor()
    found = load_credentials(attach(key_file=str(path)), {}, redactor)
    assert found is not None
    assert (found.key, found.secret) == ("abcdefgh12345", "s3cr3t-s3cr3t-s3cr3t")
    assert redactor.clean(f"{found.key} {found.secret}") == f"{MASK} {MASK}"


def test_printing_a_credential_shows_neither_half() -> None:
    secret = Credentials("abcdefgh12345", "s3cr3t-s3cr3t")
    for text in (repr(secret), str(secret), f"{secret}", f"{[secret]}"):
        assert "s3cr3t" not in text
        assert "abcdefgh" not in text


def test_a_private_key_in_place_of_an_address_is_refused_and_never_repeated() -> None:
    key = "0x" + "4f3e" * 16
    redactor = Redactor()
    with pytest.raises(ConfigError) as caught:
        public_address(AttachSettings(venue="hyperliquid", address=key), redactor)
    assert "4f3e4f3e" not in str(caught.value)
    assert redactor.clean(f"address {key}") == f"address {MASK}"
