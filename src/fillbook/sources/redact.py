"""Takes every secret out of a text before anybody sees it: logs, messages, tracebacks, exports.

Two nets. Secrets that were handed to us are known by heart, in every spelling they may take on
the wire. Shapes that are secret whoever they belong to (signatures, tokens, private keys, URL
passwords) are recognised without being known. Cut a text only after it was cleaned: half a
secret is not recognised any more.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import traceback
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MASK = "[redacted]"
LEAST_SECRET = 8
"""A shorter text is no secret worth the name, and masking it would eat ordinary words."""

_LEAST_LINE = 16
_WIRE_LOGGERS = (
    "httpx",
    "httpcore",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.proxy",
    "websockets",
    "websockets.client",
    "websockets.protocol",
)

_FIELDS = (
    r"signature|listen[-_]?key|api[-_]?key|api[-_]?secret|secret(?:[-_]?key)?|private[-_]?key"
    r"|pass(?:phrase|word|wd)|(?:access|refresh|auth|push)?[-_]?token|jwt|(?:proxy-)?authorization"
    r"|x-mbx-apikey|cb-access-[a-z]+|(?:set-)?cookie"
)
# name: value, name=value, {'name': 'value'}, ('name', b'value'), {\"name\": \"value\"}
_FIELD = re.compile(
    rf"(?<![A-Za-z0-9])({_FIELDS})"
    r"(\\*[\"']?\s*[:=]\s*b?|\\*[\"']\s*,\s*b?(?=\\*[\"']))"
    r"(?:(\\*[\"'])(?:(?!\3)(?:\\.|.))*|[^\s\"'&,;)}\]]+)",
    re.IGNORECASE | re.DOTALL,
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?")
_CREDENTIAL = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_URL_PASSWORD = re.compile(r"(\w[\w+.-]*://)[^\s/?#\"'<>]*@")
# What all patterns above need to match is missing: a sign, a quote, a blank or a slash.
_HARMLESS = re.compile(r"[A-Za-z0-9_.|#+-]*")
_LISTEN_PATH = re.compile(r"(/private/(?:ws|stream)/)[A-Za-z0-9]{16,}")


class Redactor:
    """Knows secrets by heart and cleans texts of them."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._spellings: set[str] = set()
        self._known: re.Pattern[str] | None = None
        for secret in secrets:
            self.learn(secret)

    def learn(self, secret: str) -> None:
        """Remember a secret, and every line of one that has several.

        ValueError when it is too short to be masked without eating ordinary words.
        """
        secret = secret.strip()
        if len(secret) < LEAST_SECRET:
            raise ValueError(f"a secret has at least {LEAST_SECRET} characters")
        self._spellings.update(_spellings_of(secret))
        longest_first = sorted(self._spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def clean(self, text: str) -> str:
        """Return the text with every secret replaced by a mask.

        >>> Redactor(["correct horse"]).clean("?pw=correct%20horse&signature=ab12&limit=5")
        '?pw=[redacted]&signature=[redacted]&limit=5'
        """
        if self._known is not None:
            text = self._known.sub(MASK, text)
        text = _PRIVATE_KEY.sub(MASK, text)
        text = _TOKEN.sub(MASK, text)
        text = _URL_PASSWORD.sub(rf"\1{MASK}@", text)
        text = _LISTEN_PATH.sub(rf"\1{MASK}", text)
        text = _CREDENTIAL.sub(rf"\1 {MASK}", text)
        return _FIELD.sub(_mask_field, text)

    def is_harmless(self, text: str) -> bool:
        """Say, cheaply, that `clean` would return a text as it is; False in any doubt.

        >>> Redactor().is_harmless("2026-01-01|BTC|f1"), Redactor().is_harmless("token=abc")
        (True, False)
        """
        plain = self._known is None and _HARMLESS.fullmatch(text) is not None
        return plain and "eyJ" not in text and "-----" not in text

    def snippet(self, text: str, most: int = 200) -> str:
        """Return the cleaned beginning of a text on one line, for a message."""
        plain = " ".join(self.clean(text).split())
        return plain if len(plain) <= most else plain[:most] + "…"

    def told(self, fault: BaseException) -> str:
        """Return a fault with its traceback, cleaned."""
        return self.clean("".join(traceback.format_exception(fault)))


class RedactingFilter(logging.Filter):
    """Cleans log records where it is added: message, arguments, traceback and extra fields."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean a record in place; it is always passed on."""
        clean = self._redactor.clean
        try:
            record.msg = clean(record.getMessage())
        except (TypeError, ValueError):
            # A message that does not fit its arguments: both are shown, cleaned.
            record.msg = clean(f"{record.msg} {record.args}")
        record.args = ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = self._redactor.told(record.exc_info[1]).rstrip()
        # Whoever formats the exception anew would not clean it.
        vars(record).update(exc_info=None)
        for name, value in record.__dict__.items():
            if isinstance(value, str) and name not in ("msg", "levelname", "name"):
                record.__dict__[name] = clean(value)
        return True


EVERYWHERE = Redactor()
"""What all logs and fault messages of this program are cleaned with."""


def guard_loggers(redactor: Redactor = EVERYWHERE) -> None:
    """Clean what the HTTP and websocket libraries log, in whatever program they run.

    Their records hold URLs with signatures and, when debugging, headers with keys.
    """
    for name in _WIRE_LOGGERS:
        logger = logging.getLogger(name)
        mine = (f for f in logger.filters if isinstance(f, RedactingFilter))
        if not any(f._redactor is redactor for f in mine):
            logger.addFilter(RedactingFilter(redactor))


def _mask_field(found: re.Match[str]) -> str:
    return f"{found[1]}{found[2]}{found[3] or ''}{MASK}"


def _spellings_of(secret: str) -> Iterator[str]:
    lines = [line.strip() for line in secret.replace("\\n", "\n").splitlines()]
    parts = [secret, *(line for line in lines if _is_telling(line))]
    for part in parts:
        yield part
        yield quote(part)
        yield quote(part, safe="")
        yield quote_plus(part)
        yield json.dumps(part)[1:-1]
        yield json.dumps(part, ensure_ascii=False)[1:-1]
        yield repr(part)[1:-1]
        yield base64.b64encode(part.encode()).decode().rstrip("=")


def _is_telling(line: str) -> bool:
    return len(line) >= _LEAST_LINE and not line.startswith("-----")
