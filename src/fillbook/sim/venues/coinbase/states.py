"""What a simulated Coinbase says of now: wallets, money of each side, positions of both kinds.

Dollars of futures lie apart from those of spot; perpetuals are margined in USDC. Nothing here
tells of funding that was paid: the venue has no such read.
"""

from __future__ import annotations

from decimal import Decimal

from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.sim.books import EXACT
from fillbook.sim.cast import PERPS
from fillbook.sim.live import LiveWorld
from fillbook.sim.orders import SimPosition
from fillbook.sim.prices import Market
from fillbook.sim.venues.calls import Answer
from fillbook.sim.venues.coinbase.rows import Row, uuid_of

_MS_NS = 1_000_000
EXPIRES = "2030-12-27T16:00:00Z"
_NOTHING = Decimal(0)
_CASH = ("USD", "USDC")
_PRINTED = Decimal("0.0000000001")


def money(amount: Decimal, currency: str = "USD") -> Row:
    """Return an amount with its currency."""
    rounded = amount.quantize(_PRINTED, context=EXACT)
    return {"value": plain_text(rounded), "currency": currency}


def is_perpetual(market: Market) -> bool:
    """Say whether a market is a perpetual margined in USDC."""
    return market.contract == "linear" and market.funded


def is_future(market: Market) -> bool:
    """Say whether a market is a dated future in contracts."""
    return market.contract == "linear" and not market.funded


def gained(world: LiveWorld, position: SimPosition) -> Decimal:
    """Return the open result of a position at its mark."""
    market = position.market
    return position.qty * world.mark(market) * market.multiplier - position.cost


def held(world: LiveWorld, account: str, futures: bool) -> list[SimPosition]:
    """Return the open positions in futures, or in perpetuals."""
    fits = is_future if futures else is_perpetual
    return [position for position in world.positions(account) if fits(position.market)]


def cash_of(world: LiveWorld, account: str, futures: bool) -> Decimal:
    """Return the money behind the futures, or behind the perpetuals.

    The world takes a position's price out of the wallet; the venue leaves it in.
    """
    asset = "USD" if futures else "USDC"
    wallet = world.wallets(account).get(("perp", asset), _NOTHING)
    return wallet + sum((p.cost for p in held(world, account, futures)), _NOTHING)


def results_of(world: LiveWorld, account: str, futures: bool) -> Decimal:
    """Return the open results of all futures, or of all perpetuals."""
    return sum((gained(world, p) for p in held(world, account, futures)), _NOTHING)


# -- money ---------------------------------------------------------------------------------------


def account_rows(world: LiveWorld, account: str) -> list[Row]:
    """Return every wallet of spot: dollars, and coins that were ever held."""
    begun = iso(world.start_ms * _MS_NS)
    wallets = world.wallets(account)
    spot = {asset: wallets[name, asset] for name, asset in wallets if name == "spot"}
    return [
        {
            "uuid": uuid_of("wallet", account, asset),
            "name": "Cash (USD)" if asset == "USD" else f"{asset} Wallet",
            "currency": asset,
            "available_balance": money(spot[asset], asset),
            "default": asset == "USD",
            "active": True,
            "created_at": begun,
            "updated_at": iso(world.now_ns),
            "deleted_at": None,
            "type": "ACCOUNT_TYPE_FIAT" if asset == "USD" else "ACCOUNT_TYPE_CRYPTO",
            "ready": True,
            "hold": money(_NOTHING, asset),
            "retail_portfolio_id": account,
            "platform": "ACCOUNT_PLATFORM_CONSUMER",
        }
        for asset in sorted(spot)
    ]


def kind_of(account: str) -> str:
    """Return the venue's word for a portfolio: perpetuals live in one of their own."""
    return "INTX" if account == PERPS else "DEFAULT"


def portfolios(account: str) -> Answer:
    """Answer the portfolios that a key sees: its own."""
    told = {"name": "Default", "uuid": account, "type": kind_of(account), "deleted": False}
    return Answer(body={"portfolios": [told]})


def balance_summary(world: LiveWorld, account: str) -> Row:
    """Return the futures side's money."""
    cash, open_result = cash_of(world, account, True), results_of(world, account, True)
    spot = world.wallets(account).get(("spot", "USD"), _NOTHING)
    window = {
        "margin_window_type": "FCM_MARGIN_WINDOW_TYPE_INTRADAY",
        "margin_level": "MARGIN_LEVEL_TYPE_BASE",
        "initial_margin": "0",
        "maintenance_margin": "0",
        "liquidation_buffer": plain_text(cash),
        "total_hold": "0",
        "futures_buying_power": plain_text(cash),
    }
    return {
        "futures_buying_power": money(cash),
        "total_usd_balance": money(cash + spot),
        "cbi_usd_balance": money(spot),
        "cfm_usd_balance": money(cash),
        "total_open_orders_hold_amount": money(_NOTHING),
        "unrealized_pnl": money(open_result),
        "daily_realized_pnl": money(_NOTHING),
        "initial_margin": money(_NOTHING),
        "available_margin": money(cash + open_result),
        "liquidation_threshold": money(_NOTHING),
        "liquidation_buffer_amount": money(cash + open_result),
        "liquidation_buffer_percentage": "1000",
        "intraday_margin_window_measure": window,
        "overnight_margin_window_measure": {
            **window,
            "margin_window_type": "FCM_MARGIN_WINDOW_TYPE_OVERNIGHT",
        },
    }


def perpetual_portfolio(world: LiveWorld, account: str) -> Row:
    """Return the perpetual side's money."""
    cash, open_result = cash_of(world, account, False), results_of(world, account, False)
    worth = sum((abs(p.qty) * world.mark(p.market) for p in held(world, account, False)), _NOTHING)
    told = {
        "portfolio_uuid": account,
        "collateral": plain_text(cash),
        "position_notional": plain_text(worth),
        "open_position_notional": plain_text(worth),
        "pending_fees": "0",
        "borrow": "0",
        "accrued_interest": "0",
        "rolling_debt": "0",
        "portfolio_initial_margin": "0.1",
        "portfolio_im_notional": money(worth / 10, "USDC"),
        "portfolio_maintenance_margin": "0.05",
        "portfolio_mm_notional": money(worth / 20, "USDC"),
        "liquidation_percentage": "",
        "liquidation_buffer": "",
        "margin_type": "MARGIN_TYPE_CROSS",
        "margin_flags": "PORTFOLIO_MARGIN_FLAGS_UNSPECIFIED",
        "liquidation_status": "PORTFOLIO_LIQUIDATION_STATUS_NOT_LIQUIDATING",
        "unrealized_pnl": money(open_result, "USDC"),
        "total_balance": money(cash + open_result, "USDC"),
    }
    summary = {
        "unrealized_pnl": money(open_result, "USDC"),
        "buying_power": money(cash, "USDC"),
        "total_balance": money(cash + open_result, "USDC"),
        "max_withdrawal_amount": money(cash, "USDC"),
    }
    return {"portfolios": [told], "summary": summary}


def perpetual_balances(world: LiveWorld, account: str) -> Row:
    """Return the perpetual side's assets: USDC, and nothing else."""
    cash = plain_text(cash_of(world, account, False))
    asset = {
        "asset_id": "1482439423963469",
        "asset_uuid": uuid_of("asset", "USDC"),
        "asset_name": "USDC",
        "status": "ACTIVE",
        "collateral_weight": "1",
        "account_collateral_limit": "0",
        "ecosystem_collateral_limit_breached": False,
        "asset_icon_url": "",
        "supported_networks_enabled": True,
    }
    held_of = {
        "asset": asset,
        "quantity": cash,
        "hold": "0",
        "transfer_hold": "0",
        "collateral_value": cash,
        "collateral_weight": "1",
        "max_withdraw_amount": cash,
        "loan": "0",
        "loan_collateral_requirement_usd": "0",
        "pledged_quantity": "0",
    }
    told = {"portfolio_uuid": account, "balances": [held_of], "is_margin_limit_reached": False}
    return {"portfolio_balances": [told]}


# -- positions -----------------------------------------------------------------------------------


def future_rows(world: LiveWorld, account: str) -> list[Row]:
    """Return the positions in futures: a side, and how many contracts."""
    return [
        {
            "product_id": world.name(position.market, world.now_ms),
            "expiration_time": EXPIRES,
            "side": "LONG" if position.qty > 0 else "SHORT",
            "number_of_contracts": plain_text(abs(position.qty)),
            "current_price": plain_text(world.mark(position.market)),
            "avg_entry_price": money(entry_px(position))["value"],
            "unrealized_pnl": money(gained(world, position))["value"],
            "daily_realized_pnl": "0",
        }
        for position in held(world, account, True)
    ]


def perpetual_rows(world: LiveWorld, account: str) -> list[Row]:
    """Return the positions in perpetuals: a side, and a size below zero for a short one.

    `vwap` is the day's own average, which is no entry price; `entry_vwap` is.
    """
    told = []
    for position in held(world, account, False):
        market, mark = position.market, world.mark(position.market)
        worth = abs(position.qty) * mark
        result = money(gained(world, position), "USDC")
        told.append(
            {
                "product_id": world.name(market, world.now_ms),
                "product_uuid": uuid_of("product", market.symbol),
                "portfolio_uuid": account,
                "symbol": market.symbol,
                "vwap": money(mark, "USDC"),
                "entry_vwap": money(entry_px(position), "USDC"),
                "position_side": f"POSITION_SIDE_{'LONG' if position.qty > 0 else 'SHORT'}",
                "margin_type": "MARGIN_TYPE_CROSS",
                "net_size": plain_text(position.qty),
                "buy_order_size": "0",
                "sell_order_size": "0",
                "im_contribution": "0.1",
                "unrealized_pnl": result,
                "mark_price": money(mark, "USDC"),
                "liquidation_price": money(_NOTHING, "USDC"),
                "leverage": "10",
                "im_notional": money(worth / 10, "USDC"),
                "mm_notional": money(worth / 20, "USDC"),
                "position_notional": money(worth, "USDC"),
                "aggregated_pnl": result,
            }
        )
    return told


def entry_px(position: SimPosition) -> Decimal:
    """Return the average price that a position was entered at."""
    return EXACT.divide(position.cost, position.qty * position.market.multiplier)


def fees_paid(world: LiveWorld, account: str) -> Answer:
    """Answer the summary of what was traded and paid; numbers here are no text."""
    fills = world.fills(account)
    fees = sum((fill.fee for fill in fills), _NOTHING)
    volume = sum((abs(fill.value) for fill in fills), _NOTHING)
    tier = {
        "pricing_tier": "Advanced 1",
        "usd_from": "0",
        "usd_to": "1000",
        "taker_fee_rate": "0.00045",
        "maker_fee_rate": "0.00015",
        "aop_from": "",
        "aop_to": "",
    }
    told = {"total_volume": int(volume), "total_fees": int(fees), "fee_tier": tier}
    none = {"margin_rate": None, "goods_and_services_tax": None}
    advanced = {"advanced_trade_only_volume": int(volume), "advanced_trade_only_fees": int(fees)}
    pro = {"coinbase_pro_volume": 0, "coinbase_pro_fees": 0, "total_balance": "0"}
    return Answer(body={**told, **none, **advanced, **pro})
