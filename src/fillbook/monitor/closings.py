"""Posts an event for every trade that ends while a webhook is set, also while nothing runs.

What was posted is kept beside the events that wait: after a restart the trades that ended
meanwhile are posted, and none twice, but for a kill in the very moment of posting.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import msgspec

from fillbook.analysis.answers import TradeRow
from fillbook.analysis.summary import trades
from fillbook.analysis.view import BookView, Query
from fillbook.ground.clock import parse_ns
from fillbook.monitor.tracker import LATE_NS
from fillbook.publish.closed import closed_event, record_of
from fillbook.publish.webhook import Webhook

TOLD_NAME = "told.json"

_log = logging.getLogger(__name__)


class _Told(msgspec.Struct):
    """A trade that was posted: when it ended, how often it was told anew, and what was said."""

    ended_ns: int
    revision: int
    result: str


class _Kept(msgspec.Struct):
    """What outlives a restart. Trades that ended before `since_ns` are history, and not posted."""

    since_ns: int
    newest_ns: int
    told: dict[str, _Told] = msgspec.field(default_factory=dict)


class Closings:
    """Hands finished trades to a webhook; `folder` is its own, `now_ns` when it begins."""

    def __init__(self, webhook: Webhook, folder: Path, now_ns: int) -> None:
        self._webhook = webhook
        self._path = folder / TOLD_NAME
        self._kept = self._load(now_ns)
        self._is_behind = True
        self._is_stuck = False

    def feed(self, view: BookView, closed: Mapping[str, TradeRow]) -> None:
        """Post what ended since the last time; `closed` are the trades that ended lately.

        Where nothing can be written it is said once, and tried again with the next view.
        """
        if self._is_behind:
            rows = trades(view, Query(since_ns=self._kept.newest_ns - LATE_NS))
            ended = {row.trade_id: row for row in rows if row.final_status != "open"}
            closed = {**ended, **closed}
        news = [row for row in closed.values() if self._is_news(row)]
        try:
            for row in sorted(news, key=lambda row: (row.exit_time or "", row.trade_id)):
                self._post(row)
            if news or self._is_behind:
                self._keep(view.end_ns)
            self._is_behind = self._is_stuck = False
        except OSError as fault:
            if not self._is_stuck:
                _log.error("webhook: events cannot be kept: %s", fault.strerror)
            self._is_stuck = self._is_behind = True

    def _is_news(self, row: TradeRow) -> bool:
        known = self._kept.told.get(row.trade_id)
        return _ended_ns(row) >= self._kept.since_ns and (
            known is None or known.result != _result(row)
        )

    def _post(self, row: TradeRow) -> None:
        known = self._kept.told.get(row.trade_id)
        revision = 0 if known is None else known.revision + 1
        record = record_of(row, None)
        if revision:
            record["revision"] = revision
        self._webhook.post(closed_event(record, [row.trade_id] if revision else ()))
        self._kept.told[row.trade_id] = _Told(_ended_ns(row), revision, _result(row))

    def _load(self, now_ns: int) -> _Kept:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except FileNotFoundError:
            pass
        except (OSError, msgspec.DecodeError) as fault:
            _log.warning("webhook: what was posted is not known any more (%s)", fault)
        return _Kept(now_ns, now_ns)

    def _keep(self, end_ns: int) -> None:
        kept = self._kept
        kept.newest_ns = max(kept.newest_ns, end_ns)
        # Whoever hands trades in has none that ended earlier, but those open until now.
        oldest_ns = kept.newest_ns - 2 * LATE_NS
        kept.told = {name: told for name, told in kept.told.items() if told.ended_ns >= oldest_ns}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".part")
        beside.write_bytes(msgspec.json.encode(kept))
        beside.replace(self._path)


def _ended_ns(row: TradeRow) -> int:
    return parse_ns(row.exit_time or row.entry_time)


def _result(row: TradeRow) -> str:
    """Return what makes another telling news."""
    return f"{row.exit_time} {row.position_size} {row.exit_price} {row.realized_pnl} {row.net}"
