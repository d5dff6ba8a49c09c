"""Planted secrets never come out again: logs, messages, tracebacks, printed objects."""

from __future__ import annotations

import asyncio
import base64
import errno
import io
import json
import logging
import stat
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote, quote_plus

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import assume, given
from hypothesis import strategies as st

from fillbook.cli.faults import report_fault, report_told
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings
from fillbook.sources.budget import Budget, Limit
from fillbook.sources.credentials import Credentials, load_credentials, public_address
from fillbook.sources.faults import SourceError
from fillbook.sources.manners import Signed
from fillbook.sources.redact import EVERYWHERE, MASK, RedactingFilter, Redactor, guard_loggers
from fillbook.sources.stream import Ask
from fillbook.sources.transport import Patience, Transport
from loopback import Loopback, Reply, TestPace


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


# -- planted secrets ---------------------------------------------------------------------------

PLAIN = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")),
    min_size=8,
    max_size=60,
)
# Begins as no word of the texts does into which it is planted.
NAMED = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/=-_.~", min_size=12
).map("7{}".format)
SPELLINGS = [
    lambda s: s,
    quote,
    lambda s: quote(s, safe=""),
    quote_plus,
    lambda s: json.dumps(s),
    lambda s: json.dumps(s, ensure_ascii=False),
    repr,
    lambda s: repr({"k": s}),
    lambda s: base64.b64encode(s.encode()).decode(),
    str.upper,
]
WRAPPINGS = [
    "{}",
    "https://api.example.com/x?a=1&q={}&b=2",
    "GET /x HTTP/1.1\r\nX-Thing: {}\r\n\r\n",
    '{{"deep": {{"k": "{}"}}}}',
    "ValueError: bad value {} in field",
    "before{}after",
]


@given(PLAIN, st.sampled_from(SPELLINGS), st.sampled_from(WRAPPINGS), st.text(max_size=40))
def test_a_known_secret_never_appears_in_any_spelling(
    secret: str, spelled: Callable[[str], str], wrapping: str, noise: str
) -> None:
    secret = secret.strip()
    assume(len(secret) >= 8)
    redactor = Redactor([secret])
    # Letters such as ß change their number with their case; keys and secrets are ASCII.
    assume(secret.isascii() or spelled is not str.upper)
    text = spelled(secret)
    innocent = (noise + wrapping.format(MASK) + noise).casefold()
    assume(text.casefold() not in innocent)
    assume(secret.casefold() not in innocent)
    cleaned = redactor.clean(noise + wrapping.format(text) + noise)
    assert text not in cleaned
    assert secret not in cleaned


@given(NAMED)
def test_a_secret_nobody_knows_is_masked_by_its_name(secret: str) -> None:
    body = {"apiKey": secret, "n": 1}
    for text in (
        f"GET /fapi/v1/x?symbol=BTC&timestamp=1&signature={quote(secret)}",
        f"wss://host/private/ws?listenKey={quote(secret)}",
        f"X-MBX-APIKEY: {secret}",
        f"Authorization: Bearer {secret}",
        f"Headers([('authorization', 'Bearer {secret}'), ('host', 'x')])",
        f"[(b'X-MBX-APIKEY', b'{secret}'), (b'Host', b'x')]",
        json.dumps(body),
        json.dumps({"inner": json.dumps(body)}),
        repr(body),
        json.dumps({"secret_key": secret}, indent=1),
        f"password = {secret}",
        f"https://user:{quote(secret, safe='')}@proxy.example.com:3128/",
        f"redis://:{quote(secret, safe='')}@host/0",
    ):
        cleaned = Redactor().clean(text)
        assert secret not in cleaned, text
        assert quote(secret, safe="") not in cleaned, text
        assert MASK in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "hyperliquid fills: the venue failed (status 502)",
        '{"coin":"BTC","px":"100.5","hash":"0xabc","feeToken":"USDC","tid":1234567890}',
        "https://api.binance.com/fapi/v1/userTrades?symbol=BTCUSDT&fromId=12&limit=1000",
        "a key file of mode 0600",
        "pulled 200 rows of trades/BTCUSDT, cursor 1700000000000",
    ],
)
def test_what_is_no_secret_is_left_as_it_is(text: str) -> None:
    assert Redactor(["hunter2hunter2"]).clean(text) == text


def test_tokens_and_private_keys_are_recognised_by_their_shape() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()
    token = jwt.encode({"sub": "key", "exp": 1}, private, algorithm="ES256")
    lines = [line for line in pem.splitlines() if not line.startswith("-----")]
    for text in (pem, json.dumps({"k": pem}), repr(pem), pem[:90], f"k: {pem}\nnext line"):
        cleaned = Redactor().clean(text)
        assert not any(line[:30] in cleaned for line in lines), text
    assert Redactor().clean(f"k: {pem}\nnext line").endswith("\nnext line")
    for text in (token, f"Bearer {token}", json.dumps({"jwt": token}), f"subscribe {token} now"):
        cleaned = Redactor().clean(text)
        for part in token.split("."):
            assert part not in cleaned
    # A key that is known is masked line by line, wherever it was cut.
    known = Redactor([pem])
    for line in lines:
        assert line not in known.clean(f"could not read {line!r}")


def test_a_secret_too_short_to_be_one_is_not_taken() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        Redactor(["short"])


# -- logs and tracebacks -----------------------------------------------------------------------

SECRET = "Zx9-planted-secret/Qw+7"


def logged(redactor: Redactor, say: Callable[[logging.Logger], None]) -> str:
    written = io.StringIO()
    outlet = logging.StreamHandler(written)
    outlet.setFormatter(logging.Formatter("%(name)s %(message)s %(extra)s", defaults={"extra": ""}))
    outlet.addFilter(RedactingFilter(redactor))
    logger = logging.Logger("test")
    logger.addHandler(outlet)
    say(logger)
    return written.getvalue()


class Url:
    """Prints itself with its secret, as URLs of libraries do."""

    def __str__(self) -> str:
        return f"https://x/?signature={SECRET}"


def fail(secret: str) -> None:
    raise ValueError(f"bad token {secret}")


def log_exception(logger: logging.Logger) -> None:
    try:
        try:
            fail(SECRET)
        except ValueError as fault:
            raise RuntimeError("while signing") from fault
    except RuntimeError:
        logger.exception("it failed with %s", SECRET)


@pytest.mark.parametrize(
    "say",
    [
        lambda logger: logger.warning(f"key {SECRET}"),
        lambda logger: logger.warning("key %s and %d", SECRET, 5),
        lambda logger: logger.warning("key %(a)s", {"a": SECRET}),
        lambda logger: logger.warning("GET %s", Url()),
        lambda logger: logger.warning("odd %d", SECRET),
        lambda logger: logger.warning("x", extra={"extra": SECRET}),
        lambda logger: logger.warning({"secret": SECRET}),
        log_exception,
    ],
)
def test_nothing_that_is_logged_shows_a_secret(
    say: Callable[[logging.Logger], None],
) -> None:
    text = logged(Redactor([SECRET]), say)
    assert text
    assert SECRET not in text
    assert MASK in text


def test_a_logged_traceback_keeps_its_lines() -> None:
    text = logged(Redactor([SECRET]), log_exception)
    assert "RuntimeError: while signing" in text
    assert f"ValueError: bad token {MASK}" in text
    assert "in fail" in text


def test_a_fault_is_told_without_its_secret() -> None:
    try:
        fail(SECRET)
    except ValueError as fault:
        told = Redactor([SECRET]).told(fault)
    assert SECRET not in told
    assert "ValueError: bad token" in told


class Signer:
    """Signs with everything that must not be seen."""

    def sign(self, ask: Ask, base_url: str, now_ns: int) -> Signed:
        query = (*ask.query, ("signature", "5160" * 16))
        return Signed(query=query, headers={"X-MBX-APIKEY": SECRET})


ORDERS = Ask(name="orders", host="fapi", path="/fapi/v1/allOrders", auth="signed")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(),
        Reply(reset=True),
        Reply("nothing", cut_at=3),
        Reply(f'{{"msg":"bad key {SECRET} and signature={"5160" * 16}"}}', status=400),
        Reply(status=403, body=f"<html>{quote(SECRET, safe='')}</html>"),
        Reply(f"not JSON {SECRET}"),
        Reply(status=307, headers={"Location": f"https://evil.example/?k={SECRET}"}),
    ],
)
def test_no_request_leaves_a_secret_in_logs_or_faults(reply: Reply) -> None:
    redactor = Redactor([SECRET])
    told: list[str] = []

    async def body() -> None:
        async with Loopback(lambda seen: reply) as server:
            pace = TestPace()
            budget = Budget("binance", Limit(weight=1000), Decimal("0.2"), pace)
            transport = Transport(
                "binance",
                pace,
                budget,
                signer=Signer(),
                urls={"fapi": server.url},
                patience=Patience(tries=2),
                redactor=redactor,
            )
            try:
                await transport.read(ORDERS)
            except SourceError as fault:
                told.extend([str(fault), repr(fault), "".join(traceback.format_exception(fault))])
            await transport.close()

    written = io.StringIO()
    outlet = logging.StreamHandler(written)
    loggers = (logging.getLogger(), logging.getLogger("httpx"))
    before = [logger.level for logger in loggers]
    loggers[0].addHandler(outlet)
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        asyncio.run(body())
    finally:
        loggers[0].removeHandler(outlet)
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
    everything = written.getvalue() + "".join(told)
    assert "HTTP Request: GET" in written.getvalue() or reply.reset
    for secret in (SECRET, quote(SECRET, safe=""), "5160516051605160"):
        assert secret not in everything


def test_a_fault_of_the_program_is_kept_without_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    EVERYWHERE.learn(SECRET)
    try:
        fail(SECRET)
    except ValueError as fault:
        report_fault(fault)
    report_told(ConfigError(f"cannot use {SECRET}", "https://me:pw@host/"))
    (kept,) = (tmp_path / "fillbook").glob("fault-*.log")
    everything = kept.read_text(encoding="utf-8") + capsys.readouterr().err
    assert "in fail" in everything
    assert "cannot use" in everything
    assert SECRET not in everything
    assert "me:pw" not in everything


def test_what_the_machine_refuses_is_no_fault_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    status = report_fault(PermissionError(errno.EACCES, "Permission denied", "x/fillbook.pid"))
    told = capsys.readouterr().err
    assert (status, list(tmp_path.iterdir())) == (2, [])
    assert "Permission denied" in told and "x/fillbook.pid" in told and "rights" in told


def test_loggers_are_guarded_once() -> None:
    redactor = Redactor([SECRET])
    guard_loggers(redactor)
    guard_loggers(redactor)
    filters = [
        f
        for f in logging.getLogger("httpx").filters
        if isinstance(f, RedactingFilter) and f._redactor is redactor
    ]
    assert len(filters) == 1
