"""fillbook.toml and its environment overrides: what a person may decide, with a default for all.

Every key has a default, so a missing file is a complete configuration. An environment variable
`FILLBOOK__SECTION__KEY` beats the file; its value is read as TOML where that works, else as text.
Unknown keys are refused by name, with the nearest key that exists.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from fillbook.ground.clock import age_ns, zone
from fillbook.ground.days import Days
from fillbook.ground.errors import ConfigError
from fillbook.ground.live_settings import AttachSettings, MetricsSettings, MonitorSettings

FoldMethod = Literal["average", "fifo", "lifo"]
ENV_PREFIX = "FILLBOOK__"


class BookSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the book file is; a relative path is relative to fillbook.toml."""

    path: str = "fillbook.db"


class ReportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How answers are cut: the zone of a day, and an optional reporting currency."""

    day_zone: str = "UTC"
    currency: str | None = None

    def __post_init__(self) -> None:
        zone(self.day_zone)

    @property
    def days(self) -> Days:
        """The days of `day_zone`."""
        return Days(zone(self.day_zone))


class FoldSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which lots a closing fill closes. AVERAGE is what venues show."""

    method: FoldMethod = "average"


class StrategyRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Names the strategy of fills that name none; every condition that is given must hold.

    >>> rule = StrategyRule(strategy="maker", client_id_prefix="mm-")
    >>> rule.matches(account="a", instrument="BTC", client_order_id="mm-7")
    True
    >>> rule.matches(account="a", instrument="BTC", client_order_id=None)
    False
    """

    strategy: str
    client_id_prefix: str | None = None
    instrument: str | None = None
    account: str | None = None

    def __post_init__(self) -> None:
        if self.client_id_prefix is None and self.instrument is None and self.account is None:
            raise ValueError("a rule needs client_id_prefix, instrument or account")

    def matches(self, account: str, instrument: str, client_order_id: str | None) -> bool:
        """Say whether a fill of this account, instrument and client order id falls under it."""
        if self.account is not None and account != self.account:
            return False
        if self.instrument is not None and instrument != self.instrument:
            return False
        prefix = self.client_id_prefix
        return prefix is None or (client_order_id or "").startswith(prefix)


class StrategySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules that assign strategies, first match wins."""

    rules: tuple[StrategyRule, ...] = ()


class MarkSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old a price may be and still value something: a count and s, m, h, d or w."""

    max_age: str = "1h"

    def __post_init__(self) -> None:
        age_ns(self.max_age)

    @property
    def max_age_ns(self) -> int:
        """Return the age in nanoseconds.

        >>> MarkSettings("5m").max_age_ns
        300000000000
        """
        return age_ns(self.max_age)


class AccountSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A readable name for an account, and the capital declared for it per currency."""

    label: str | None = None
    capital: dict[str, Decimal] = msgspec.field(default_factory=dict)


class ImportSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Column maps for the generic reader, one [[import.map]] each; that reader checks them."""

    map: tuple[dict[str, Any], ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything fillbook.toml can say."""

    book: BookSettings = BookSettings()
    report: ReportSettings = ReportSettings()
    fold: FoldSettings = FoldSettings()
    strategies: StrategySettings = StrategySettings()
    marks: MarkSettings = MarkSettings()
    accounts: dict[str, AccountSettings] = msgspec.field(default_factory=dict)
    imports: ImportSettings = msgspec.field(default=ImportSettings(), name="import")
    attach: tuple[AttachSettings, ...] = ()
    monitor: MonitorSettings = MonitorSettings()
    metrics: MetricsSettings = MetricsSettings()

    @property
    def labels(self) -> dict[str, str]:
        """Return the readable names by account: those of [accounts], else of attached addresses.

        An account behind a key has no id here: who it is, only its venue can say.
        """
        told = {one.address.lower(): one.label for one in self.attach if one.address and one.label}
        return told | {name: known.label for name, known in self.accounts.items() if known.label}

    def label(self, account: str) -> str:
        """Return the readable name of an account, or the account itself."""
        return self.labels.get(account, account)


def load_settings(path: Path | None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read fillbook.toml (a missing one is fine) and apply the environment's overrides.

    Raises ConfigError naming the file or variable, the key, and the nearest valid name.

    >>> load_settings(None, {"FILLBOOK__FOLD__METHOD": "fifo"}).fold.method
    'fifo'
    """
    tree = _read(path) if path is not None and path.exists() else {}
    _refuse_unknown(tree, Settings, str(path), ())
    origin: dict[str, str] = {}
    for name, text in sorted((os.environ if environ is None else environ).items()):
        if name.startswith(ENV_PREFIX):
            _override(tree, name, text, origin)
    try:
        # Not strict: an environment variable is text, also where a number is wanted.
        return msgspec.convert(tree, Settings, strict=not origin)
    except msgspec.ValidationError as fault:
        what, _, place = str(fault).partition(" - at `$.")
        key = place.rstrip("`")
        raise ConfigError(
            f"{key or 'the configuration'}: {what}{_choices(key)}",
            next((origin[known] for known in origin if key.startswith(known)), str(path)),
            "correct the value; `fillbook init` writes a commented fillbook.toml to compare with",
        ) from fault


def _choices(key: str) -> str:
    """Say which words a key may have, where only some are allowed.

    >>> _choices("fold.method"), _choices("fold")
    ('; it may be average, fifo or lifo', '')
    """
    kind: Any = msgspec.inspect.type_info(Settings)
    for name in key.split("[")[0].split("."):
        fields = {field.name: field.type for field in getattr(kind, "fields", ())}
        kind = fields.get(name)
    words = sorted(map(str, getattr(kind, "values", ())))
    return f"; it may be {', '.join(words[:-1])} or {words[-1]}" if words[1:] else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file, parse_float=Decimal)
    except tomllib.TOMLDecodeError as fault:
        raise ConfigError(
            f"this is not TOML: {fault}", str(path), "correct the line it names"
        ) from fault
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(
            f"the configuration cannot be read: {fault}",
            str(path),
            "check that it is a readable UTF-8 file",
        ) from fault


def _override(tree: dict[str, Any], name: str, text: str, origin: dict[str, str]) -> None:
    """Put one environment value into the tree, at the place its name spells."""
    parts = name.removeprefix(ENV_PREFIX).split("__")
    branch: dict[str, Any] = {}
    leaf = branch
    for part in parts[:-1]:
        leaf = leaf.setdefault(_spelled(part, parts), {})
    leaf[_spelled(parts[-1], parts)] = _value(text)
    _refuse_unknown(branch, Settings, name, ())
    _merge(tree, branch)
    origin[".".join(_spelled(part, parts) for part in parts)] = name


def _spelled(part: str, parts: list[str]) -> str:
    """Keys are lower case, except the accounts and currencies a person named."""
    free = parts[0].lower() == "accounts" and part.lower() not in ("accounts", "label", "capital")
    return part if free else part.lower()


def _value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}", parse_float=Decimal)["value"]
    except tomllib.TOMLDecodeError:
        return text
    # A bare date or number stays text where a text is wanted: only tables and lists are taken.
    return value if isinstance(value, list | dict | str) else text


def _merge(tree: dict[str, Any], branch: Mapping[str, Any]) -> None:
    for key, value in branch.items():
        known = tree.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        else:
            tree[key] = value


def _refuse_unknown(tree: Any, kind: Any, where: str, path: tuple[str, ...]) -> None:
    """Walk a tree beside the struct it should become and refuse the first unknown key."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(tree, dict):
        names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
        hints = get_type_hints(kind)
        for key, value in tree.items():
            if key not in names:
                _refuse(key, tuple(names), where, path)
            _refuse_unknown(value, hints[names[key]], where, (*path, key))
    elif get_origin(kind) is tuple and isinstance(tree, list):
        for value in tree:
            _refuse_unknown(value, get_args(kind)[0], where, path)
    elif get_origin(kind) is dict and isinstance(tree, dict):
        for key, value in tree.items():
            _refuse_unknown(value, get_args(kind)[1], where, (*path, key))


def _refuse(key: str, names: tuple[str, ...], where: str, path: tuple[str, ...]) -> None:
    section = f"[{'.'.join(path)}]" if path else "the top level"
    near = difflib.get_close_matches(key.lower(), names, n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(names)}"
    raise ConfigError(f"unknown key `{key}` in {section}", where, hint)
