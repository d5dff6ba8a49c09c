"""Posts events to a URL of the user's: kept on disk until they are taken, in nobody's way.

`post` keeps the event and returns; a thread sends, oldest first, and while the other side is away
tries again with growing pauses, also after a restart. An event that was taken but not confirmed
is sent again, so whoever listens goes by the event's own id.

The URL is a secret, for many carry a token: it stands in no event, no log line and no fault.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import httpx

from fillbook.ground.errors import UsageError
from fillbook.journal.spool import Spool
from fillbook.sources.reads import is_loopback
from fillbook.sources.redact import EVERYWHERE, LEAST_SECRET, guard_loggers

ANSWER_S = 5.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
MOST_BYTES = 16 << 20
# Everything else that is no success says that this very event is not wanted.
_AGAIN_LATER = frozenset({408, 425, 429})

_log = logging.getLogger(__name__)


class Webhook:
    """Posts JSON events to one URL; `folder` keeps what waits, at most 16 MiB of it.

    `name` is what may be said of the URL. Safe to call from any thread. UsageError where the URL
    is none of http or https.
    """

    def __init__(self, url: str, folder: Path, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._url = _checked(url)
        self.name = f"{self._url.scheme}://{self._url.host}"
        self._first_pause_s = first_pause_s
        # Two views of one folder: the caller writes, the thread sends.
        self._kept = Spool(folder, MOST_BYTES)
        self._waiting = Spool(folder, MOST_BYTES)
        self._keeping = threading.Lock()
        self._news = threading.Event()
        self._ended = threading.Event()
        self._is_away = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Send what an earlier run left; starting twice changes nothing."""
        self._ended.clear()
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
            self._thread.start()
        self._news.set()

    def post(self, event: bytes) -> bool:
        """Keep one event for sending; False where there is no room. Raises OSError."""
        with self._keeping:
            found_room = self._kept.add([event]) == 1
            self._kept.seal()
        if not found_room:
            _log.warning("webhook %s: an event was dropped, too many wait", self.name)
        self.start()
        return found_room

    def close(self, timeout_s: float = ANSWER_S) -> bool:
        """Try once more to send what waits, and stop; returns whether that was done in time.

        What could not be sent stays in the folder for the next run.
        """
        self._ended.set()
        self._news.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def __enter__(self) -> Webhook:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        # No proxy stands between two programs of one machine.
        is_near = is_loopback(self._url.host)
        with httpx.Client(
            timeout=ANSWER_S, follow_redirects=False, trust_env=not is_near
        ) as client:
            while not self._ended.is_set():
                self._news.wait()
                self._news.clear()
                pause_s = self._first_pause_s
                while not self._send_all(client) and not self._ended.wait(pause_s):
                    pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._send_all(client)

    def _send_all(self, client: httpx.Client) -> bool:
        """Send everything that waits; False as soon as the other side is away."""
        try:
            for file in self._waiting.waiting():
                if not all(self._is_settled(client, line) for line in file.lines):
                    return False
                file.done()
        except OSError as fault:
            _log.warning("webhook %s: what waits cannot be read: %s", self.name, fault.strerror)
            return False
        return True

    def _is_settled(self, client: httpx.Client, event: bytes) -> bool:
        """Send one event; False when it has to be tried again."""
        try:
            headers = {"content-type": "application/json"}
            status = client.post(self._url, content=event, headers=headers).status_code
        except httpx.HTTPError as fault:
            return self._away(type(fault).__name__)
        if status in _AGAIN_LATER or status >= 500:
            return self._away(f"status {status}")
        if status >= 300:
            _log.warning("webhook %s: an event was refused, status %d", self.name, status)
        elif self._is_away:
            _log.info("webhook %s: takes events again", self.name)
        self._is_away = False
        return True

    def _away(self, why: str) -> bool:
        if not self._is_away:
            _log.warning("webhook %s: away (%s), tried again until it takes them", self.name, why)
        self._is_away = True
        return False


def _checked(told: str) -> httpx.URL:
    try:
        url = httpx.URL(told)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError("the webhook is no URL", "webhook", "give it one of http:// or https://")
    for secret in (str(url), url.raw_path.decode("ascii"), url.password):
        if len(secret) >= LEAST_SECRET:
            EVERYWHERE.learn(secret)
    guard_loggers()
    return url
