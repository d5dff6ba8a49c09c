"""What bots tell the monitor: lines posted to it, and lines appended to watched files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from fillbook.ground.clock import SECOND_NS
from fillbook.ground.errors import BookError, FillbookError
from fillbook.sources.intake import Intake, Taken, follow
from fillbook.sources.liveness import AccountHealth
from fillbook.sources.pace import Pace
from fillbook.sources.push import Labels, Place
from fillbook.sources.source import Rejected
from fillbook.sources.stream import JournalWriter

_LOOK_NS = 2 * SECOND_NS
_TRY_AGAIN_NS = 30 * SECOND_NS

_log = logging.getLogger(__name__)


class Pushed:
    """Takes what bots tell once the labels of the attached accounts are known.

    `accounts` tells how each is doing, `labels` the readable names by account, of others too;
    `news` is called when the book may have grown.
    """

    def __init__(
        self,
        writer: JournalWriter,
        accounts: Callable[[], Sequence[AccountHealth]],
        labels: Mapping[str, str],
        news: Callable[[], None],
        watched: Sequence[Path],
        pace: Pace,
    ) -> None:
        self._accounts = accounts
        self._configured = labels
        self._intake = Intake(writer, self._labels, news)
        self._watched = watched
        self._pace = pace

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what follows the watched files, for ever."""
        return [self._follow(path) for path in self._watched]

    async def take(self, body: bytes) -> Taken:
        """Take what a bot posts; FillbookError while labels mean nothing yet: it is sent again."""
        if not self._are_named():
            what = "accounts are still being attached, so their labels mean nothing yet"
            raise FillbookError(what, "", "send the same lines again in a moment")
        return await self._intake.take(body)

    async def _follow(self, path: Path) -> None:
        """Take what a bot appends to a file; lines that cannot be read are logged."""

        def refused(line: Rejected) -> None:
            _log.warning("%s line %s: %s %s", path, line.line, line.field or "it", line.reason)

        while not self._are_named():
            await self._pace.rest(_LOOK_NS)
        while True:
            try:
                await follow(path, self._intake, self._pace, refused)
            except BookError:
                raise
            except FillbookError as fault:
                _log.warning("%s: %s", path, fault)
                await self._pace.rest(_TRY_AGAIN_NS)

    def _are_named(self) -> bool:
        """Say whether every account that can be attached has told who it is."""
        return all(one.account or one.state == "refused" for one in self._accounts())

    def _labels(self) -> Labels:
        """Return the names that people gave to accounts; where one is attached, so is its venue."""
        attached = [one for one in self._accounts() if one.account]
        named = [(one.label, Place(one.venue, one.account)) for one in attached]
        for account, label in self._configured.items():
            venues: list[str | None] = [o.venue for o in attached if o.account == account]
            named += [(label, Place(venue, account)) for venue in venues or [None]]
        found: dict[str, list[Place]] = {}
        for label, place in dict.fromkeys(named):
            found.setdefault(label, []).append(place)
        return found
