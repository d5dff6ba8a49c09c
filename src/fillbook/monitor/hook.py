"""The URL that finished trades are posted to: a secret, because many carry a token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fillbook.ground.errors import ConfigError, UsageError
from fillbook.ground.live_settings import MonitorSettings
from fillbook.monitor.token import secret_in
from fillbook.publish.webhook import Webhook


def webhook_folder(book: Path) -> Path:
    """Return where a book's events wait until they are taken.

    >>> webhook_folder(Path("fillbook.db")).name
    'fillbook.db.webhook'
    """
    return book.with_name(f"{book.name}.webhook")


def webhook_of(
    settings: MonitorSettings, environ: Mapping[str, str], folder: Path
) -> Webhook | None:
    """Read the URL, teach it to the redactor and return its webhook; None where none is set.

    Nothing is sent before it is started. ConfigError for a file that others may read, or what is
    no URL.
    """
    text = environ.get(settings.webhook_env, "")
    where = settings.webhook_env
    if settings.webhook_file is not None:
        where = settings.webhook_file
        text = secret_in(Path(where).expanduser(), "webhook file", "webhook_file")
    url = text.strip()
    if not url and settings.webhook_file is None:
        return None
    try:
        return Webhook(url, folder)
    except UsageError as refused:
        raise ConfigError(refused.what, where, refused.next_step) from None
