"""`fillbook monitor status` and `metrics`: the book beside the monitor, and what it is doing."""

from __future__ import annotations

import http.client
from collections.abc import Sequence
from decimal import Decimal
from urllib.parse import urlsplit

import msgspec

from fillbook.analysis import summary
from fillbook.analysis.answers import Performance, PositionRow, TradeRow
from fillbook.cli.figures import UNKNOWN, decimals_for, duration, moment, money, percent
from fillbook.cli.lists import Field, columns_of
from fillbook.cli.monitored import pid_path
from fillbook.cli.opening import Place, find, folded
from fillbook.cli.options import Asked
from fillbook.cli.page import Page, print_csv, print_json
from fillbook.cli.shapes import MonitorMetrics, MonitorStatus, OpenPosition
from fillbook.cli.tables import tone_of
from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.monitor.pidfile import Holder, holder_of, killed
from fillbook.sources.liveness import AccountHealth, MonitorHealth

RECENT_TRADES = 10
_ASK_WITHIN_S = 3.0

OPEN = (
    Field("account", "account", "id", 4),
    Field("product_id", "product"),
    Field("side", "side"),
    Field("size", "size", "exact"),
    Field("entry_price", "entry", "average", 1),
    Field("current_price", "current", "exact", 1),
    Field("unrealized_pnl", "unrealized PnL", "gain"),
    Field("currency", "ccy", "text", 1),
    Field("opened", "opened (UTC)", "time", 3),
)
RECENT = (
    Field("exit_time", "closed (UTC)", "time"),
    Field("account", "account", "id", 7),
    Field("product_id", "product"),
    Field("side", "side"),
    Field("position_size", "size", "exact", 2),
    Field("entry_price", "entry", "average", 3),
    Field("exit_price", "exit", "average", 3),
    Field("holding_duration_hours", "held", "hours", 5),
    Field("realized_pnl", "gross", "gain", 4),
    Field("net", "net", "gain"),
    Field("currency", "ccy", "text", 1),
    Field("exit_reason", "exit", "text", 6),
    Field("exit_cause", "ended by", "text", 7),
)


def tell_status(asked: Asked) -> None:
    """Print the open positions and how the monitor is doing."""
    place = find(asked.book)
    holder, lost = _holder_of(place)
    health = health_of(holder) if holder else None
    with folded(asked) as (view, query, place):
        rows = summary.positions(view, query)
        opened = tuple(_open_position(row) for row in rows if row.strategy is None)
        seq, head = view.seq, view.head
        until = iso(view.end_ns) if view.end_ns else None
    answer = MonitorStatus(
        seq=seq, head=head, running=holder is not None, pid=holder.pid if holder else None,
        url=holder.url if holder else None, health=health, positions=opened,
        ended_without_word=lost is not None, until=until,
    )  # fmt: skip
    if asked.json:
        print_json(answer)
        return
    page = Page()
    _show_running(page, answer, holder, lost)
    page.gap()
    if not opened:
        page.line("No open position.")
    else:
        page.table(columns_of(OPEN, opened, place.settings.label))
    page.gap()
    if answer.until is not None and holder is None:
        page.line(f"The book knows nothing later than {moment(answer.until)}.")
    page.line(f"True at seq {seq:,} (head {head[:12]}).", "quiet")
    page.print()


def tell_metrics(asked: Asked) -> None:
    """Print totals of the completed trades, and the recent ones."""
    with folded(asked) as (view, query, place):
        totals = tuple(summary.performance(view, query))
        rows = [r for r in summary.trades(view, query) if r.final_status == "completed"]
        seq, head = view.seq, view.head
    recent = tuple(rows[-RECENT_TRADES:])
    if asked.json:
        print_json(MonitorMetrics(seq=seq, head=head, totals=totals, recent=recent))
        return
    if asked.csv:
        print_csv(Performance, totals)
        return
    page = Page()
    for one in totals:
        _show_totals(page, one)
    if not totals:
        page.line("No trade has been completed.")
    if recent:
        _show_recent(page, recent, place)
    page.line(f"True at seq {seq:,} (head {head[:12]}).", "quiet")
    page.print()


def _holder_of(place: Place) -> tuple[Holder | None, Holder | None]:
    """Return who runs for this book, and who ended without a word; at most one of them."""
    path, own = pid_path(place), str(place.book.resolve())
    alive, lost = holder_of(path), killed(path)
    return (
        alive if alive is not None and alive.book == own else None,
        lost if lost is not None and lost.book == own else None,
    )


def health_of(holder: Holder) -> MonitorHealth | None:
    """Ask a running monitor how it is doing; None where it does not answer in time."""
    place = urlsplit(holder.url)
    if not place.hostname:
        return None
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=_ASK_WITHIN_S)
    try:
        connection.request("GET", "/healthz")
        return msgspec.json.decode(connection.getresponse().read(), type=MonitorHealth)
    except (OSError, http.client.HTTPException, msgspec.DecodeError):
        return None
    finally:
        connection.close()


def _open_position(row: PositionRow) -> OpenPosition:
    negative = row.qty.startswith("-") or (row.qty == "0" and row.qty_unpriced.startswith("-"))
    side = row.position_side if row.position_side != "net" else "short" if negative else "long"
    size = summed(row.qty, row.qty_unpriced).lstrip("-")
    return OpenPosition(
        account=row.account,
        venue=row.venue,
        product_id=row.instrument,
        side=side.upper(),
        size=size,
        entry_price=row.entry_price,
        current_price=row.mark,
        current_time=row.mark_time,
        unrealized_pnl=row.unrealized,
        currency=row.currency,
        opened=row.opened,
    )


def summed(qty: str, unpriced: str) -> str:
    """Add two quantities that are decimal text.

    >>> summed("1.5", "-0.5"), summed("-2", "0")
    ('1', '-2')
    """
    return plain_text(Decimal(qty) + Decimal(unpriced))


def _show_running(
    page: Page, answer: MonitorStatus, holder: Holder | None, lost: Holder | None
) -> None:
    if holder is None:
        page.line("○ No monitor is running for this book (`fillbook monitor start`).")
        if lost is not None:
            page.line(
                f"  The last one (process {lost.pid}) ended without a word: killed, or a power "
                "cut. The next start goes on where it stood.",
                "loss",
            )
        return
    if not holder.url:
        page.line(f"○ Monitor is starting (process {holder.pid}).")
        return
    health = answer.health
    if health is None:
        page.line(f"● Monitor is running (process {holder.pid}) and does not answer.", "loss")
        return
    well = health.status == "ok"
    page.line(f"{'✓' if well else '✗'} Monitor is running (process {holder.pid}), {holder.url}")
    page.line(f"  since {moment(iso(health.started_ns))}; tracking {health.tracked} trades, "
              f"{health.pending} waiting for a place")  # fmt: skip
    for account in health.accounts:
        _show_account(page, account)
    for finding in health.findings:
        page.line(f"  ! {finding.message}; {finding.next_step}")
    for reason in health.reasons:
        page.line(f"  ✗ {reason}", "loss")


def _show_account(page: Page, account: AccountHealth) -> None:
    polled = UNKNOWN if account.last_poll_ns is None else moment(iso(account.last_poll_ns))
    page.line(
        f"  {account.label} ({account.venue}): {account.state}, {account.open_positions} open "
        f"positions, last looked at {polled}"
    )
    for stream in account.streams:
        until = stream.covered_until_ns
        covered = f", complete until {moment(iso(until))}" if until is not None else ""
        page.line(f"    {stream.stream}: {stream.state}, {stream.new:,} new{covered}", "quiet")


def _show_totals(page: Page, one: Performance) -> None:
    decimals = decimals_for(one.currency, [one.net, one.best, one.worst])
    average = None if one.expectancy is None else f"{one.expectancy:.12f}"
    page.line(f"Completed trades in {one.currency} ({one.basis})")
    for title, text, value in (
        ("Total trades", f"{one.n:,}", None),
        ("Winning / losing", f"{one.wins:,} / {one.losses:,}", None),
        ("Win rate", percent(one.win_rate_ratio), None),
        ("Total PnL", money(one.net, decimals, plus=True), one.net),
        ("Average PnL", money(average, decimals, plus=True), average),
        ("Best trade", money(one.best, decimals, plus=True), one.best),
        ("Worst trade", money(one.worst, decimals, plus=True), one.worst),
        ("Average holding", duration(one.avg_hold_hours), None),
    ):
        page.line(f"  {title + ':':<18}{text}", tone_of(value))
    page.gap()


def _show_recent(page: Page, recent: Sequence[TradeRow], place: Place) -> None:
    page.line("Recent trades")
    page.table(columns_of(RECENT, recent, place.settings.label))
    page.gap()
