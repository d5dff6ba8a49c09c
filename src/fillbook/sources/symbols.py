"""From the name of a market to its contract: base, quote and settlement currency."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from fillbook.facts.model import ContractKind, Instrument
from fillbook.sources.source import RowError

_SEPARATORS = ("/", "-", "_")
# Quotes that venues glue to the base, longest first so that BTCFDUSD is not BTCFD in USD.
_GLUED_QUOTES = (
    *("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "USDE", "USD", "EUR", "GBP", "JPY", "AUD"),
    *("TRY", "BRL", "DAI", "BTC", "ETH", "BNB"),
)


@lru_cache(maxsize=4096)
def split_symbol(symbol: str) -> tuple[str, str, str] | None:
    """Return base, quote and settlement currency as the name tells them, or None.

    >>> split_symbol("BTC/USDT:USDT"), split_symbol("ADA-USD"), split_symbol("1000PEPEUSDT")
    (('BTC', 'USDT', 'USDT'), ('ADA', 'USD', 'USD'), ('1000PEPE', 'USDT', 'USDT'))
    >>> split_symbol("ACME") is None
    True
    """
    pair, _, settle = symbol.partition(":")
    for separator in _SEPARATORS:
        parts = pair.split(separator)
        if len(parts) == 2 and all(parts):
            return parts[0], parts[1], settle or parts[1]
    for quote in _GLUED_QUOTES:
        if pair.endswith(quote) and len(pair) > len(quote):
            return pair.removesuffix(quote), quote, settle or quote
    return None


@lru_cache(maxsize=4096)
def describe(
    venue: str,
    account: str,
    symbol: str,
    contract: ContractKind = "linear",
    *,
    base: str | None = None,
    quote: str | None = None,
    settle: str | None = None,
    multiplier: Decimal = Decimal(1),
) -> Instrument:
    """Describe a contract; what is not said is taken from its name.

    An inverse contract settles in its base. A currency is never guessed: RowError when neither
    the name nor the caller tells it.
    """
    told = split_symbol(symbol)
    if told is None and not (settle or quote):
        raise RowError(
            "instrument", f"{symbol!r} does not tell its currency; name it with `settle`"
        )
    named_base, named_quote, named_settle = told or (symbol, "", "")
    quote = quote or named_quote or settle or ""
    base = base or named_base
    if settle is None:
        settle = base if contract == "inverse" else (quote if told is None else named_settle)
    return Instrument(
        venue=venue,
        account=account,
        ts_ns=0,
        symbol=symbol,
        contract=contract,
        base=base,
        quote=quote,
        settle=settle,
        multiplier=multiplier,
    )
