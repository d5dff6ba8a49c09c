"""Why trades ended: the vectors, the borders of the rule of thumb, and what venues say."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from fillbook.analysis.exits import ExitEvidence, exit_cause, exit_reason
from vector_cases import cases


def amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def evidence(given: dict[str, Any]) -> ExitEvidence:
    return ExitEvidence(
        order_type=given["order_type"],
        client_order_id=given.get("client_order_id"),
        pnl=amount(given.get("pnl")),
        mfe=amount(given.get("mfe")),
        mae=amount(given.get("mae")),
        initial_risk=amount(given.get("initial_risk")),
    )


@pytest.mark.parametrize("case", cases("08_exit_reason"))
def test_the_cause_of_every_vector(case: dict[str, Any]) -> None:
    found = exit_cause(evidence(case["input"]))
    assert found._asdict() == case["expected"]


@pytest.mark.parametrize(
    ("pnl", "peak", "reason"),
    [
        ("900", "1000", "take_profit_likely"),
        ("899.99", "1000", "manual_close"),
        ("-500", "1000", "stop_loss_likely"),
        ("-499.99", "1000", "manual_close"),
        ("1500", "1800", "manual_close"),
        ("-1", "0", "stop_loss_likely"),
        ("0", "0", "manual_close"),
    ],
)
def test_the_rule_of_thumb_at_its_borders(pnl: str, peak: str, reason: str) -> None:
    assert exit_reason(Decimal(pnl), Decimal(peak)) == reason
    assert exit_reason(Decimal(pnl), Decimal(peak), forced=True) == "manual_stop"


def test_an_unknown_result_has_no_reason() -> None:
    assert exit_reason(None, Decimal(10)) is None


@pytest.mark.parametrize(
    ("told", "label"),
    [
        (ExitEvidence(order_type="TRAILING_STOP_MARKET", pnl=Decimal(-3)), "trailing_stop"),
        (ExitEvidence(order_type="Take Profit Market", pnl=Decimal(3)), "take_profit"),
        (ExitEvidence(order_type="LIQUIDATION"), "liquidation"),
        (ExitEvidence(client_order_id="adl_autoclose"), "adl"),
        (ExitEvidence(client_order_id="settlement_autoclose-77"), "settlement"),
        (ExitEvidence(cause="adl", order_type="STOP_MARKET"), "adl"),
        (ExitEvidence(strategy="trend", order_type="MARKET"), "signal_exit"),
        (ExitEvidence(client_order_id="bot7-9", bot_prefixes=("bot7-",)), "signal_exit"),
        (ExitEvidence(client_order_id="web_a8d", order_type="MARKET"), "manual"),
    ],
)
def test_what_the_venue_or_the_bot_says_is_certain(told: ExitEvidence, label: str) -> None:
    assert exit_cause(told) == (label, True)


@pytest.mark.parametrize(
    ("pnl", "mfe", "mae", "risk", "label"),
    [
        ("5", "10", "-2", "10", "trailing_stop_likely"),
        ("8", "10", "-2", "10", "trailing_stop_likely"),
        ("8.01", "10", "-2", "10", "manual_close"),
        ("5", "10", "-2", None, "manual_close"),
        ("5", "9.99", "-2", "10", "manual_close"),
        ("9.5", "10", "-2", None, "take_profit_likely"),
        ("-9.4", "2", "-10", None, "stop_loss_likely"),
        ("-9.39", "2", "-10", None, "manual_stop"),
        ("-11", None, None, "10", "stop_loss_likely"),
        ("-11.1", None, None, "10", "unknown"),
        ("0", "10", "-2", None, "manual_close"),
    ],
)
def test_guesses_at_their_borders(
    pnl: str, mfe: str | None, mae: str | None, risk: str | None, label: str
) -> None:
    seen = ExitEvidence(
        pnl=amount(pnl), mfe=amount(mfe), mae=amount(mae), initial_risk=amount(risk)
    )
    assert exit_cause(seen) == (label, False)
