"""The kernel on cases worked out elsewhere: every fill sequence of the vectors, by every method."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from fillbook.ledger.amounts import to_int
from fillbook.ledger.fold import FoldResult, fold_group
from kernel_cases import METHODS, columns, costs_of, lots_of, rows_of, trades_of
from oracle import Event
from vector_cases import Case, assert_close, cases

GRID = 10**18
PX_SCALE, QTY_SCALE = 4, 4
VECTOR_METHODS = [("average", "avg"), ("fifo", "fifo"), ("lifo", "lifo")]


@dataclass
class Contract:
    """How prices of one vector become the kernel's integers, and back."""

    inverse: bool
    multiplier: Decimal

    @classmethod
    def of(cls, case: Case) -> Contract:
        contract = case["input"]["contract"]
        assert contract["kind"] in ("linear", "inverse")
        return cls(contract["kind"] == "inverse", Decimal(contract["multiplier"]))

    @property
    def terms(self) -> tuple[int, int]:
        """Factor and divisor of qty * px on the money grid."""
        if self.inverse:
            return int(self.multiplier), 10**QTY_SCALE
        return int(self.multiplier * 10 ** (18 - PX_SCALE - QTY_SCALE)), 1

    def px(self, price: Decimal) -> int:
        if self.inverse:
            return -round(Fraction(GRID) / Fraction(price))
        return whole(price, PX_SCALE)

    def average_px(self, qty: int, cost: int) -> Decimal:
        """The price at which a quantity costs so much."""
        size = Decimal(qty).scaleb(-QTY_SCALE) * self.multiplier
        paid = Decimal(cost).scaleb(-18)
        return -size / paid if self.inverse else paid / size

    def value(self, qty: int, price: Decimal) -> int:
        factor, divisor = self.terms
        return round(Fraction(qty * self.px(price) * factor, divisor))


def whole(number: Decimal, scale: int) -> int:
    scaled = number.scaleb(scale)
    assert scaled == int(scaled), f"{number} needs more than {scale} decimals"
    return int(scaled)


def fills_of(case: Case, contract: Contract) -> list[Event]:
    """The vector's fills after what a ledger does before folding: fees valued, rungs filled up."""
    events = []
    for fill in case["input"]["fills"]:
        price, qty = Decimal(fill["price"]), Decimal(fill["qty"])
        fee = Decimal(fill.get("fee", 0)) * Decimal(fill.get("fee_rate", 1))
        if "base_fee" in fill:
            fee += Decimal(fill["base_fee"]) * price
            qty -= Decimal(fill["base_fee"])
        decision = Decimal(fill["decision"]) if fill.get("decision") else price
        arrival = Decimal(fill["arrival"]) if fill.get("arrival") else decision
        mid = Decimal(fill["mid"]) if fill.get("mid") else arrival
        events.append(
            Event(
                "fill",
                qty=whole(qty, QTY_SCALE) * (1 if fill["side"] == "buy" else -1),
                px=tuple(contract.px(px) for px in (decision, arrival, mid, price)),  # type: ignore[arg-type]
                fee=whole(fee, 18),
                decision_known="decision" in fill,
            )
        )
    funding = case["input"].get("funding", [])
    return events + [Event("funding", amount=whole(Decimal(text), 18)) for text in funding]


def folded(case: Case, method: str) -> tuple[Contract, list[Event], FoldResult]:
    contract = Contract.of(case)
    events = fills_of(case, contract)
    factor, divisor = contract.terms
    result = fold_group(columns(events), method=METHODS[method], factor=factor, divisor=divisor)
    assert result.error is None
    return contract, events, result


def money(amount: int) -> Decimal:
    return Decimal(amount).scaleb(-18)


@pytest.mark.parametrize(("method", "key"), VECTOR_METHODS)
@pytest.mark.parametrize("case", cases("01_trade_pnl"))
def test_vector_realised_and_open_lots(case: Case, method: str, key: str) -> None:
    contract, events, result = folded(case, method)
    expected, tol = case["expected"][key], case["tol"]
    realised = [row.realised[3] for row in rows_of(result)]
    for place, (got, text) in enumerate(
        zip(realised, expected["realized_gross_by_fill"], strict=True)
    ):
        assert_close(f"realised of fill {place + 1}", money(got), text, tol)
    assert_close("realised", money(sum(realised)), expected["realized_gross"], tol)

    priced = int(result.state.books["priced_qty"][0])
    cost = costs_of(result.state, 0)[3]
    unrealised = contract.value(priced, Decimal(case["input"]["mark"])) - cost
    assert_close("unrealised", money(unrealised), expected["unrealized_gross"], tol)
    lots = [(qty, costs[3]) for qty, costs in lots_of(result.state)[0]]
    if method == "average":
        lots = [(priced, cost)] if priced else []
    if method == "lifo":  # ours stand in the order of consumption, the vector's by age
        lots.reverse()
    assert len(lots) == len(expected["open_lots"])
    for (qty, paid), (text, price) in zip(lots, expected["open_lots"], strict=True):
        assert qty == whole(Decimal(text), QTY_SCALE)
        # a price shown from an inverse cost is good to 1e-8
        close = "1e-8" if contract.inverse else tol
        assert_close("lot price", contract.average_px(qty, paid), price, close)

    assert priced == whole(Decimal(case["expected"]["open_qty"]), QTY_SCALE)
    gross = money(sum(realised) + unrealised)
    assert_close("gross", gross, case["expected"]["total_gross"], tol)
    fees = money(sum(event.fee for event in events))
    assert_close("fees", fees, case["expected"]["fees"], tol)
    assert_close("net", gross - fees, case["expected"]["total_net_ex_funding"], tol)


@pytest.mark.parametrize(("method", "key"), VECTOR_METHODS)
@pytest.mark.parametrize("case", cases("01_trade_pnl"))
def test_vector_trades_flat_to_flat(case: Case, method: str, key: str) -> None:
    _, _, result = folded(case, method)
    names = [fill["id"] for fill in case["input"]["fills"]]
    trades, tol = trades_of(result), case["tol"]
    closed = [trade for trade in trades if trade.close_event >= 0]
    for trade, expected in zip(closed, case["expected"]["flat_to_flat"], strict=True):
        assert ("long" if trade.side > 0 else "short") == expected["side"]
        assert names[trade.open_event] == expected["open_fill"]
        assert names[trade.close_event] == expected["close_fill"]
        assert trade.max_qty == whole(Decimal(expected["max_qty"]), QTY_SCALE)
        assert_close("gross", money(int(trade.realised[3])), expected["gross"], tol)
        assert_close("fees", money(int(trade.fees)), expected["fees"], tol)
        net = money(int(trade.realised[3] - trade.fees))
        assert_close("net", net, expected["net"], tol)
        assert trade.realised[3] == trade.side * (trade.exit_value - trade.entry_value)
    still_open = ["long" if trade.side > 0 else "short" for trade in trades[len(closed) :]]
    assert still_open == [episode for episode in [case["expected"]["open_episode"]] if episode]


def has_fills(case: Case) -> bool:
    return "fills" in case["input"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", cases("05_pnl_explain", has_fills))
def test_vector_ladder_sums_to_net(case: Case, method: str) -> None:
    contract, events, result = folded(case, method)
    expected, tol = case["expected"], case["tol"]
    mark = Decimal(case["input"]["mark"])
    held = int(result.state.books["priced_qty"][0])
    costs, rows = costs_of(result.state, 0), rows_of(result)
    realised = [sum(int(row.realised[k]) for row in rows) for k in range(4)]
    unrealised = [contract.value(held, mark) - costs[k] for k in range(4)]
    rung = [realised[k] + unrealised[k] for k in range(4)]
    lines: dict[str, Any] = {
        "signal": rung[0],
        "delay": rung[0] - rung[1],
        "slippage_drift": rung[1] - rung[2],
        "slippage_half_spread": rung[2] - rung[3],
        "slippage": rung[1] - rung[3],
        "fees": sum(event.fee for event in events),
        "funding": sum(int(row.funding) for row in rows),
    }
    if (
        method == "fifo"
    ):  # which decisions are realised depends on the matching; FIFO is the vector's
        assert_close("signal_realized", money(realised[0]), expected["signal_realized"], tol)
        assert_close("signal_open", money(unrealised[0]), expected["signal_open"], tol)
    assert_close("signal", money(lines["signal"]), expected["signal"], tol)
    for name in ("delay", "slippage"):
        both = Decimal(expected[f"{name}_entry"]) + Decimal(expected[f"{name}_exit"])
        assert_close(name, money(lines[name]), str(both), tol)
    for name in ("slippage_drift", "slippage_half_spread"):
        if name in expected:
            assert_close(name, money(lines[name]), expected[name], tol)
    for name in ("fees", "funding"):
        assert_close(name, money(lines[name]), expected[name], tol)
    net = rung[3] - lines["fees"] + lines["funding"]
    assert_close("net", money(net), expected["net"], tol)
    told = lines["signal"] - lines["delay"] - lines["slippage"] - lines["fees"] + lines["funding"]
    assert told == net  # the residual is exactly zero


def test_trades_carry_what_their_events_add_up_to() -> None:
    case = next(param.values[0] for param in cases("05_pnl_explain") if param.id == "X03")
    _, _, result = folded(case, "average")
    rows, trades = rows_of(result), trades_of(result)
    assert [(row.trade_close, row.trade_open) for row in rows[:3]] == [(-1, 0), (0, 1), (1, -1)]
    assert [row.trade_open for row in rows[3:]] == [1, 1]  # funding goes to what is open
    assert trades[0].close_event == 1
    assert trades[1].close_event == -1
    # the flip's fee of 0.0623 for 3, one of them closing: the closing share rounds half-even
    assert trades[0].fees == 10**16 * 2 + round(Fraction(623 * 10**14, 3))
    assert trades[1].fees == 623 * 10**14 - round(Fraction(623 * 10**14, 3)) + 10**16
    assert trades[1].funding == 3 * 10**15
    assert to_int(result.outputs.fee_open[1]) == 623 * 10**14 - round(Fraction(623 * 10**14, 3))
