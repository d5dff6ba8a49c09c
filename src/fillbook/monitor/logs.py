"""The monitor's log: one file that rotates, every record cleaned of secrets before it is kept."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fillbook.sources.redact import EVERYWHERE, RedactingFilter, Redactor

LOG_NAME = "monitor.log"
MOST_BYTES = 10 << 20
KEPT_FILES = 5


class _Utc(logging.Formatter):
    """Writes one line per record, with the time in UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the time of a record as ISO 8601 with milliseconds."""
        moment = datetime.fromtimestamp(record.created, UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def open_log(
    folder: Path,
    redactor: Redactor = EVERYWHERE,
    *,
    most_bytes: int = MOST_BYTES,
    kept_files: int = KEPT_FILES,
) -> logging.Handler:
    """Send everything that is logged to FOLDER/monitor.log; `close_log` ends it.

    The file rotates at `most_bytes`, and `kept_files` older ones stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sink = RotatingFileHandler(
        folder / LOG_NAME, maxBytes=most_bytes, backupCount=kept_files, encoding="utf-8"
    )
    sink.setFormatter(_Utc("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    sink.addFilter(RedactingFilter(redactor))
    root = logging.getLogger()
    root.addHandler(sink)
    if root.level > logging.INFO or root.level == logging.NOTSET:
        root.setLevel(logging.INFO)
    # One line per request would be all that is left to read.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return sink


def close_log(sink: logging.Handler) -> None:
    """End the log; requests are told again to whoever else listens."""
    logging.getLogger().removeHandler(sink)
    logging.getLogger("httpx").setLevel(logging.NOTSET)
    sink.close()
