"""What a person decides about live accounts ([[attach]]), the monitor and its [metrics].

None holds a secret: they name the file or the environment variables that do.
"""

from __future__ import annotations

import re
from decimal import Decimal

import msgspec

from fillbook.ground.clock import age_ns


class AttachSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One account to attach, read-only.

    Who it is: `address` (Hyperliquid), or a key in `key_file` (mode 0600), or in the environment
    variables that `key_env` and `secret_env` name. `share` is how much of the venue's rate limit
    Fillbook may use; the limit is shared with the bot. `urls` replaces hosts by their role, for a
    simulated venue or a testnet. `symbols` are pulled even where the venue does not name them.

    >>> AttachSettings(venue="hyperliquid", address="0x31ca8395cf837de08b24da3f660e77761dfb974b")
    ... # doctest: +ELLIPSIS
    AttachSettings(venue='hyperliquid', ...)
    """

    venue: str
    label: str | None = None
    address: str | None = None
    key_file: str | None = None
    key_env: str | None = None
    secret_env: str | None = None
    share: Decimal = Decimal("0.20")
    accept_trading_key: bool = False
    symbols: tuple[str, ...] = ()
    urls: dict[str, str] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share is {self.share}; it is a part of the limit: 0 < share <= 1")
        if (self.key_env is None) != (self.secret_env is None):
            raise ValueError("key_env and secret_env come together")
        ways = (self.address, self.key_file, self.key_env)
        if sum(way is not None for way in ways) != 1:
            raise ValueError("an account needs exactly one of address, key_file or key_env")


class MonitorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the monitor looks, and where it listens and logs.

    Intervals are a count and s, m, h or d. A position that the venue no longer states, and that no
    fill closes, counts as closed after `vanished_after`. `max_concurrent_trades` caps how many
    open trades are tracked at once, the others wait; None means no cap. `token_file` (mode 0600)
    or the environment variable `token_env` hold what bots present to push facts. `webhook_file`
    (mode 0600) or the environment variable `webhook_env` hold the URL that is posted an event for
    every finished trade.
    """

    detection_interval: str = "30s"
    poll_interval: str = "30s"
    vanished_after: str = "2m"
    max_concurrent_trades: int | None = None
    host: str = "127.0.0.1"
    port: int = 9464
    log_dir: str = "logs"
    pid_file: str = "fillbook.pid"
    token_file: str | None = None
    token_env: str = "FILLBOOK_PUSH_TOKEN"
    webhook_file: str | None = None
    webhook_env: str = "FILLBOOK_WEBHOOK_URL"
    watched_files: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        intervals = (self.detection_interval, self.poll_interval, self.vanished_after)
        if any(age_ns(interval) <= 0 for interval in intervals):
            raise ValueError("an interval is longer than nothing")
        if self.max_concurrent_trades is not None and self.max_concurrent_trades < 1:
            raise ValueError("max_concurrent_trades is at least 1, or left out for no cap")
        if not self.host.strip():
            raise ValueError("host is empty; say 0.0.0.0 where every other machine may look")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"{self.port} is not a port (0 lets the system choose)")

    @property
    def detection_interval_ns(self) -> int:
        """Return how often to look for new trades."""
        return age_ns(self.detection_interval)

    @property
    def poll_interval_ns(self) -> int:
        """Return how often to pull and to look at open positions.

        >>> MonitorSettings(poll_interval="15s").poll_interval_ns
        15000000000
        """
        return age_ns(self.poll_interval)

    @property
    def vanished_after_ns(self) -> int:
        """Return how long a position is gone before it counts as closed without fills."""
        return age_ns(self.vanished_after)


class MetricsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How metrics are named: `prefix` goes before every name, and may be empty.

    >>> MetricsSettings(prefix="").prefix
    ''
    """

    prefix: str = "fillbook_"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"([a-zA-Z_][a-zA-Z0-9_]*)?", self.prefix):
            raise ValueError(f"{self.prefix!r} cannot begin a name: letters, digits and _ only")
