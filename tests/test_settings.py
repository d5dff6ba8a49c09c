"""fillbook.toml: defaults, overrides, and refusals that name the file, the key and the remedy."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from fillbook.ground.errors import ConfigError
from fillbook.ground.settings import Settings, load_settings

FULL = """
[book]
path = "month.db"

[report]
day_zone = "Europe/Berlin"
currency = "USDC"

[fold]
method = "lifo"

[[strategies.rules]]
strategy = "maker"
client_id_prefix = "mm-"

[[strategies.rules]]
strategy = "trend"
account = "0xAbC"
instrument = "BTC"

[marks]
max_age = "90s"

[accounts.0xAbC]
label = "main"
capital = { USDC = 25000.10, BTC = "0.5" }

[[import.map]]
name = "desk"
columns = { px = "price" }

[[attach]]
venue = "binance"
key_env = "BINANCE_KEY"
secret_env = "BINANCE_SECRET"
share = 0.10
symbols = ["BTCUSDT"]
urls = { fapi = "http://127.0.0.1:8001" }

[[attach]]
venue = "hyperliquid"
address = "0xabc"
label = "main"

[monitor]
poll_interval = "15s"
max_concurrent_trades = 2
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "fillbook.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_missing_file_is_a_complete_configuration(tmp_path: Path) -> None:
    assert load_settings(tmp_path / "fillbook.toml", {}) == Settings()
    assert load_settings(None, {}).book.path == "fillbook.db"


def test_every_section_is_read(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, FULL), {})
    assert settings.book.path == "month.db"
    assert (settings.report.day_zone, settings.report.currency) == ("Europe/Berlin", "USDC")
    assert settings.fold.method == "lifo"
    assert [rule.strategy for rule in settings.strategies.rules] == ["maker", "trend"]
    assert settings.marks.max_age_ns == 90 * 10**9
    assert settings.label("0xAbC") == "main"
    assert settings.label("0xother") == "0xother"
    assert settings.imports.map == ({"name": "desk", "columns": {"px": "price"}},)


def test_accounts_to_attach_and_the_monitor_are_read(tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, FULL), {})
    first, second = settings.attach
    assert (first.key_env, first.share, first.symbols) == (
        "BINANCE_KEY",
        Decimal("0.10"),
        ("BTCUSDT",),
    )
    assert first.urls == {"fapi": "http://127.0.0.1:8001"}
    assert (second.address, second.share) == ("0xabc", Decimal("0.20"))
    assert not second.accept_trading_key
    assert settings.monitor.poll_interval_ns == 15 * 10**9
    assert settings.monitor.detection_interval_ns == 30 * 10**9
    assert settings.monitor.max_concurrent_trades == 2
    assert Settings().monitor.max_concurrent_trades is None
    assert Settings().monitor.host == "127.0.0.1"


def test_declared_capital_never_passes_through_a_float(tmp_path: Path) -> None:
    capital = load_settings(written(tmp_path, FULL), {}).accounts["0xAbC"].capital
    assert capital == {"USDC": Decimal("25000.10"), "BTC": Decimal("0.5")}


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("FILLBOOK__BOOK__PATH", "/srv/a.db", lambda s: s.book.path == "/srv/a.db"),
        ("FILLBOOK__FOLD__METHOD", "fifo", lambda s: s.fold.method == "fifo"),
        ("FILLBOOK__REPORT__CURRENCY", "USD", lambda s: s.report.currency == "USD"),
        ("FILLBOOK__MARKS__MAX_AGE", "2d", lambda s: s.marks.max_age == "2d"),
        ("FILLBOOK__ACCOUNTS__0xAbC__LABEL", "x", lambda s: s.label("0xAbC") == "x"),
        (
            "FILLBOOK__ACCOUNTS__0xAbC__CAPITAL__USDC",
            "1e6",
            lambda s: s.accounts["0xAbC"].capital["USDC"] == 1_000_000,
        ),
        (
            "FILLBOOK__STRATEGIES__RULES",
            '[{strategy = "all", account = "0xAbC"}]',
            lambda s: [rule.strategy for rule in s.strategies.rules] == ["all"],
        ),
    ],
)
def test_the_environment_beats_the_file(tmp_path: Path, name: str, value: str, read) -> None:  # type: ignore[no-untyped-def]
    path = written(tmp_path, FULL)
    assert not read(load_settings(path, {}))
    assert read(load_settings(path, {name: value}))


def test_an_override_keeps_its_neighbours(tmp_path: Path) -> None:
    name = "FILLBOOK__ACCOUNTS__0xAbC__CAPITAL__USDC"
    capital = load_settings(written(tmp_path, FULL), {name: "7"}).accounts["0xAbC"].capital
    assert capital == {"USDC": Decimal(7), "BTC": Decimal("0.5")}


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("[fold]\nmetod = 'fifo'", "`metod` in [fold]", "did you mean `method`?"),
        ("[raport]\n", "`raport` in the top level", "did you mean `report`?"),
        (
            "[[strategies.rules]]\nstrategy = 'a'\nclient_prefix = 'b'",
            "`client_prefix` in [strategies.rules]",
            "did you mean `client_id_prefix`?",
        ),
        ("[accounts.a]\nlabell = 'b'", "`labell` in [accounts.a]", "did you mean `label`?"),
        ("[book]\nxyzzy = 1", "`xyzzy` in [book]", "known here: path"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(
    tmp_path: Path, text: str, key: str, hint: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert key in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.next_step == hint


def test_an_unknown_key_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"FILLBOOK__FOLD__METOD": "fifo"})
    assert caught.value.where == "FILLBOOK__FOLD__METOD"
    assert caught.value.next_step == "did you mean `method`?"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[fold]\nmethod = 'hifo'", "fold.method"),
        ("[fold]\nmethod = 'hifo'", "it may be average, fifo or lifo"),
        ("[marks]\nmax_age = 'soon'", "'soon' is not an age"),
        ("[report]\nday_zone = 'Mars/Olympus'", "not a time zone"),
        ("[[strategies.rules]]\nstrategy = 'a'", "a rule needs"),
        ("[book]\npath = 3", "book.path"),
        ("[accounts.a]\ncapital = { USD = 'lots' }", "accounts"),
        ("[book\n", "this is not TOML"),
        ("[[attach]]\nvenue = 'binance'", "exactly one of address, key_file or key_env"),
        ("[[attach]]\nvenue = 'b'\naddress = 'x'\nkey_file = 'k'", "exactly one of"),
        ("[[attach]]\nvenue = 'b'\nkey_env = 'K'", "come together"),
        ("[[attach]]\nvenue = 'b'\naddress = 'x'\nshare = 1.5", "share is 1.5"),
        ("[monitor]\npoll_interval = 'often'", "'often' is not an age"),
        ("[monitor]\npoll_interval = '0s'", "longer than nothing"),
        ("[monitor]\nmax_concurrent_trades = 0", "at least 1"),
        ("[monitor]\nport = 70000", "70000 is not a port"),
        ("[monitor]\nhost = ''", "host is empty"),
    ],
)
def test_a_wrong_value_names_the_file_and_the_fault(tmp_path: Path, text: str, says: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert says in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.next_step


def test_a_wrong_value_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(written(tmp_path, FULL), {"FILLBOOK__FOLD__METHOD": "hifo"})
    assert caught.value.where == "FILLBOOK__FOLD__METHOD"


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fillbook.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    assert caught.value.where == str(path)


def test_an_override_can_be_a_number_or_a_switch() -> None:
    told = load_settings(
        None,
        {"FILLBOOK__MONITOR__PORT": "8080", "FILLBOOK__MONITOR__MAX_CONCURRENT_TRADES": "2"},
    )
    assert (told.monitor.port, told.monitor.max_concurrent_trades) == (8080, 2)
    with pytest.raises(ConfigError, match=r"monitor\.port"):
        load_settings(None, {"FILLBOOK__MONITOR__PORT": "many"})
