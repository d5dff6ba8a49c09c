"""Binance USD-M's income rows: every movement of an account's money, each with its type.

`income` positive = received. `tranId` is unique within a type only, so a row is (incomeType,
tranId, asset, symbol). A commission or a realised result is told by its fill as well; such rows
say so (`repeats_fills`) and count only where no fill is known. A type nobody has heard of is
money all the same: it becomes a charge under its own name, never nothing.
"""

from __future__ import annotations

from fillbook.facts.identity import key_of
from fillbook.facts.model import Charge, Funding, Transfer
from fillbook.sources.binance.fills import MILLISECOND_NS, MILLISECONDS, VENUE, instrument_of
from fillbook.sources.rows import Row
from fillbook.sources.source import Draft

COMMISSION = "COMMISSION"
FUNDING_FEES = ("FUNDING_FEE", "SPECIAL_FUNDING_FEE")
# Told by fills too: what they cost, what they realised, and what a delivery closed.
REPEATING = (COMMISSION, "REALIZED_PNL", "DELIVERED_SETTELMENT")
TRANSFERS = (
    "TRANSFER",
    "INTERNAL_TRANSFER",
    "CROSS_COLLATERAL_TRANSFER",
    "COIN_SWAP_DEPOSIT",
    "COIN_SWAP_WITHDRAW",
    "STRATEGY_UMFUTURES_TRANSFER",
    "AUTO_EXCHANGE",
)
CHARGES = (
    "INSURANCE_CLEAR",
    "WELCOME_BONUS",
    "REFERRAL_KICKBACK",
    "COMMISSION_REBATE",
    "API_REBATE",
    "CONTEST_REWARD",
    "OPTIONS_PREMIUM_FEE",
    "OPTIONS_SETTLE_PROFIT",
    "POSITION_LIMIT_INCREASE_FEE",
)
TYPES = (*FUNDING_FEES, *REPEATING, *TRANSFERS, *CHARGES)
"""Every type the venue documents; a crowded millisecond is read type by type."""


def draft_income(row: Row, account: str) -> Draft:
    """Turn one income row into a fact; RowError when it cannot be."""
    kind, asset, tran_id = row.need("incomeType"), row.need("asset"), row.need("tranId")
    symbol, amount = row.text("symbol"), row.amount("income")
    ts_ns = row.when("time", MILLISECONDS)
    key = key_of(ts_ns, kind, tran_id, asset, symbol)
    if kind in TRANSFERS:
        moved = Transfer(
            venue=VENUE,
            account=account,
            ts_ns=ts_ns,
            printed_ns=MILLISECOND_NS,
            amount=amount,
            asset=asset,
            transfer_id=tran_id,
            what=_words(kind),
        )
        return Draft(moved, key)
    described = instrument_of(account, symbol, asset) if symbol else None
    if kind in FUNDING_FEES and symbol:
        paid = Funding(
            venue=VENUE,
            account=account,
            ts_ns=ts_ns,
            printed_ns=MILLISECOND_NS,
            instrument=symbol,
            amount=amount,
            asset=asset,
            funding_id=tran_id,
        )
        return Draft(paid, key, instrument=described)
    charge = Charge(
        venue=VENUE,
        account=account,
        ts_ns=ts_ns,
        printed_ns=MILLISECOND_NS,
        amount=-amount,
        asset=asset,
        what=_words(kind),
        instrument=symbol,
        charge_id=tran_id,
        fill_id=row.text("tradeId"),
        repeats_fills=kind in REPEATING,
    )
    return Draft(charge, key, instrument=described)


def _words(kind: str) -> str:
    return kind.lower().replace("_", " ")
