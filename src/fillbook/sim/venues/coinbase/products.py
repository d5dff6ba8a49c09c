"""The products of a simulated Coinbase: spot, perpetuals, futures in contracts; best prices."""

from __future__ import annotations

from collections.abc import Sequence

from fillbook.ground.clock import iso
from fillbook.ground.exact import plain_text
from fillbook.sim.cast import COINBASE
from fillbook.sim.live import LiveWorld
from fillbook.sim.prices import HOUR_MS, Market
from fillbook.sim.venues.calls import Answer, Call
from fillbook.sim.venues.coinbase.histories import refused
from fillbook.sim.venues.coinbase.rows import Row
from fillbook.sim.venues.coinbase.states import EXPIRES

_MS_NS = 1_000_000


def products(world: LiveWorld, call: Call) -> Answer:
    """Answer the products: all, of one type, or those named."""
    rows = [product_row(world, market) for market in world.markets(COINBASE)]
    for name in ("product_type", "product_id"):
        asked = call.every(name if name == "product_type" else "product_ids")
        rows = [row for row in rows if not asked or row[name] in asked]
    return Answer(body={"products": rows, "num_products": len(rows)})


def product(world: LiveWorld, product_id: str) -> Answer:
    """Answer one product."""
    return Answer(body=product_row(world, _market(world, product_id)))


def best_bid_ask(world: LiveWorld, call: Call) -> Answer:
    """Answer the best price of either side: of all products, or of those named."""
    asked = call.every("product_ids")
    wanted: Sequence[Market] = [_market(world, name) for name in asked]
    told = []
    for market in wanted or world.markets(COINBASE):
        bids, asks = world.book(market, 1)
        sides = {
            name: [{"price": plain_text(px), "size": plain_text(size)} for px, size in levels]
            for name, levels in (("bids", bids), ("asks", asks))
        }
        name = world.name(market, world.now_ms)
        told.append({"product_id": name, **sides, "time": iso(world.now_ns)})
    return Answer(body={"pricebooks": told})


def product_row(world: LiveWorld, market: Market) -> Row:
    """Return a product; a future says how much one contract is."""
    spot, mark = market.contract == "spot", plain_text(world.mark(market))
    name = world.name(market, world.now_ms)
    row: Row = {
        "product_id": name,
        "price": mark,
        "price_percentage_change_24h": "0",
        "volume_24h": "0",
        "volume_percentage_change_24h": "0",
        "base_increment": plain_text(market.lot),
        "quote_increment": plain_text(market.tick),
        "quote_min_size": "1",
        "quote_max_size": "150000000",
        "base_min_size": plain_text(market.lot),
        "base_max_size": "3400",
        "base_name": market.coin if spot else "",
        "quote_name": "US Dollar" if market.quote == "USD" else market.quote,
        "watched": False,
        "is_disabled": market in world.delisted,
        "new": False,
        "status": "delisted" if market in world.delisted else "online",
        "cancel_only": False,
        "limit_only": False,
        "post_only": False,
        "trading_disabled": market in world.delisted,
        "auction_mode": False,
        "product_type": "SPOT" if spot else "FUTURE",
        "quote_currency_id": market.quote,
        "base_currency_id": market.coin if spot else "",
        "fcm_trading_session_details": None,
        "mid_market_price": plain_text(world.mid(market)),
        "alias": "",
        "alias_to": [],
        "base_display_symbol": market.coin,
        "quote_display_symbol": market.quote,
        "view_only": False,
        "price_increment": plain_text(market.tick),
        "display_name": name,
        "product_venue": "CBE" if spot else "INTX" if market.funded else "FCM",
    }
    if not spot:
        row["future_product_details"] = _future(world, market)
    return row


def _future(world: LiveWorld, market: Market) -> Row:
    next_ms = world.now_ms - world.now_ms % HOUR_MS + HOUR_MS
    terms: Row = {
        "venue": "intx" if market.funded else "cde",
        "contract_code": market.symbol.split("-")[0],
        "contract_expiry": "" if market.funded else EXPIRES,
        "contract_size": plain_text(market.multiplier),
        "contract_root_unit": market.coin,
        "group_description": f"{market.coin} futures",
        "contract_expiry_timezone": "" if market.funded else "Europe/London",
        "group_short_description": market.coin,
        "risk_managed_by": "MANAGED_BY_VENUE" if market.funded else "MANAGED_BY_FCM",
        "contract_expiry_type": "PERPETUAL" if market.funded else "EXPIRING",
        "contract_display_name": market.symbol,
    }
    if market.funded:
        rate = plain_text(world.rate(market))
        terms["perpetual_details"] = {
            "open_interest": "10000",
            "funding_rate": rate,
            "funding_time": iso(next_ms * _MS_NS),
            "max_leverage": "10",
        }
        terms |= {"funding_interval": "3600s", "funding_rate": rate}
        terms["funding_time"] = iso(next_ms * _MS_NS)
    return terms


def _market(world: LiveWorld, product_id: str) -> Market:
    for market in world.markets(COINBASE):
        if product_id in (market.symbol, world.name(market, world.now_ms)):
            return market
    raise refused(404, "valid product_id is required", "NOT_FOUND")
