"""Is the monitor well? Every reason why not, in words a person can act on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fillbook.ground.clock import MINUTE_NS, SECOND_NS
from fillbook.sources.liveness import AccountHealth

POLLS_MISSED = 4


def reasons_of(accounts: Sequence[AccountHealth], now_ns: int, poll_ns: int) -> Iterator[str]:
    """Say what is not as it should be with the accounts; nothing when all are well."""
    for account in accounts:
        if account.state == "attaching":
            yield f"{account.label}: not attached yet"
        elif account.state != "running":
            yield f"{account.label}: {account.state}: {account.fault}"
        elif _is_late(account.last_poll_ns, now_ns, POLLS_MISSED * poll_ns + MINUTE_NS):
            late_s = (now_ns - (account.last_poll_ns or now_ns)) // SECOND_NS
            yield f"{account.label}: positions were last seen {late_s} s ago"
        for name in account.overdue:
            yield f"{account.label} {name}: not pulled when it was due"
        for stream in account.streams:
            if stream.state in ("faulted", "halted"):
                yield f"{account.label} {stream.stream}: {stream.state}: {stream.fault}"


def _is_late(at_ns: int | None, now_ns: int, within_ns: int) -> bool:
    return at_ns is not None and now_ns - at_ns > within_ns
