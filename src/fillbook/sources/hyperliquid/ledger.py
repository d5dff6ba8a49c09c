"""Hyperliquid's ledger updates: every movement of an account's money that is no fill or funding.

Each type has a shape of its own. Deposits, withdrawals and transfers become `Transfer`, what is
taken for a service becomes `Charge`. A move between an account's own wallets is two halves that
sum to nothing; a row that moves nothing (a liquidation's notice, whose money is in its fills) is
kept as a transfer of 0. An unknown type is never guessed: the row cannot be read, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from fillbook.facts.identity import key_of
from fillbook.facts.model import Charge, Transfer
from fillbook.sources.hyperliquid.fills import MILLISECOND_NS, USDC, VENUE
from fillbook.sources.rows import Row, TimeForm
from fillbook.sources.source import Draft, RowError

_MILLISECONDS = TimeForm("unix_ms")
_ZERO = Decimal(0)


class LedgerRow:
    """One ledger update of an account, and the facts it makes."""

    def __init__(self, row: Row, account: str) -> None:
        delta = row.cells.get("delta")
        if not isinstance(delta, dict):
            raise RowError("delta", "is missing")
        self.delta = Row(delta)
        self.account = account
        self.kind = self.delta.need("type")
        self._at = row.need("time")
        self._ts_ns = row.when("time", _MILLISECONDS)
        self._hash = row.text("hash")
        self._drafts: list[Draft] = []

    def drafts(self) -> list[Draft]:
        """Return everything the row tells; RowError for a type nobody has heard of."""
        reads = _KINDS.get(self.kind)
        if reads is None:
            raise RowError("delta.type", f"{self.kind!r} is not a ledger update this reader knows")
        reads(self)
        return self._drafts

    def amount(self, name: str = "usdc") -> Decimal:
        """Return an amount that is never below zero; its direction is the type's."""
        value = self.delta.amount(name)
        if value < 0:
            raise RowError(f"delta.{name}", f"{value} is below zero")
        return value

    def token(self, name: str = "token") -> str:
        """Return the asset, without the id that may follow its name; USDC unless said."""
        return (self.delta.text(name) or USDC).partition(":")[0]

    def move(self, amount: Decimal, asset: str, half: str = "") -> None:
        """Tell that so much came into the account (+) or left it (-)."""
        transfer = Transfer(
            venue=VENUE,
            account=self.account,
            ts_ns=self._ts_ns,
            printed_ns=MILLISECOND_NS,
            amount=amount,
            asset=asset,
            transfer_id=self._hash,
            what=self.kind,
        )
        self._drafts.append(Draft(transfer, self._key(amount, asset, half)))

    def charge(self, amount: Decimal | None, asset: str, what: str) -> None:
        """Tell a cost; none at all is no fact."""
        if not amount:
            return
        charge = Charge(
            venue=VENUE,
            account=self.account,
            ts_ns=self._ts_ns,
            printed_ns=MILLISECOND_NS,
            amount=amount,
            asset=asset,
            what=what,
            charge_id=self._hash,
        )
        self._drafts.append(Draft(charge, self._key(amount, asset, what)))

    def direction(self) -> tuple[bool, bool]:
        """Return whether this account sent, and whether it received; RowError if neither."""
        ends = [(self.delta.text(name) or "").lower() for name in ("user", "destination")]
        sent, received = (end == self.account for end in ends)
        if not (sent or received):
            raise RowError("delta.user", "neither sender nor receiver is this account")
        return sent, received

    def _key(self, amount: Decimal, asset: str, part: str) -> str:
        # Two transfers of one transaction differ in what they move, or to whom.
        ends = (self.delta.text(name) for name in ("user", "destination", "vault", "nonce"))
        told = (self._at, self._hash, self.kind, asset, amount, part, *ends)
        return key_of(self._ts_ns, *told)


def _deposit(row: LedgerRow) -> None:
    row.move(row.amount(), USDC)


def _withdrawal(row: LedgerRow) -> None:
    row.move(-row.amount(), USDC)
    row.charge(row.delta.number("fee"), USDC, "withdrawal fee")


def _between_wallets(row: LedgerRow) -> None:
    amount = row.amount("usdc" if row.delta.text("usdc") else "amount")
    row.move(amount, row.token(), "in")
    row.move(-amount, row.token(), "out")


def _sent(row: LedgerRow) -> None:
    """Read a transfer between accounts; the sender pays its fees."""
    sent, received = row.direction()
    in_usdc = row.delta.text("amount") is None
    amount, asset = (row.amount(), USDC) if in_usdc else (row.amount("amount"), row.token())
    if received:
        row.move(amount, asset, "in")
    if sent:
        row.move(-amount, asset, "out")
        row.charge(row.delta.number("fee"), row.token("feeToken"), "transfer fee")
        row.charge(row.delta.number("nativeTokenFee"), asset, "transfer fee in its token")


def _vault(row: LedgerRow) -> None:
    """Read money going into a vault, seen from either side."""
    into = row.amount() if _is_the_vault(row) else -row.amount()
    row.move(into, USDC)
    row.charge(row.delta.number("fee"), USDC, "vault creation fee")


def _vault_withdrawal(row: LedgerRow) -> None:
    net = row.amount("netWithdrawnUsd")
    row.move(-net if _is_the_vault(row) else net, USDC)


def _vault_distribution(row: LedgerRow) -> None:
    row.move(-row.amount() if _is_the_vault(row) else row.amount(), USDC)


def _is_the_vault(row: LedgerRow) -> bool:
    return (row.delta.text("vault") or "").lower() == row.account


def _reward(row: LedgerRow) -> None:
    row.move(row.amount("amount" if row.delta.text("amount") else "usdc"), row.token())


def _genesis(row: LedgerRow) -> None:
    row.move(row.delta.amount("amount"), row.token())


def _staking(row: LedgerRow) -> None:
    amount = row.amount("amount")
    row.move(-amount if row.delta.flag("isDeposit") else amount, row.token())


def _gas(row: LedgerRow) -> None:
    row.charge(row.amount("amount"), row.token(), row.kind)


def _notice(row: LedgerRow) -> None:
    row.move(_ZERO, row.token())


_KINDS: dict[str, Callable[[LedgerRow], None]] = {
    "deposit": _deposit,
    "withdraw": _withdrawal,
    "accountClassTransfer": _between_wallets,
    "perpDexClassTransfer": _between_wallets,
    "activateDexAbstraction": _between_wallets,
    "internalTransfer": _sent,
    "subAccountTransfer": _sent,
    "spotTransfer": _sent,
    "send": _sent,
    "vaultCreate": _vault,
    "vaultDeposit": _vault,
    "vaultWithdraw": _vault_withdrawal,
    "vaultDistribution": _vault_distribution,
    "vaultLeaderCommission": _reward,
    "rewardsClaim": _reward,
    "spotGenesis": _genesis,
    "cStakingTransfer": _staking,
    "accountActivationGas": _gas,
    "deployGasAuction": _gas,
    "gossipPriorityGasAuction": _gas,
    "liquidation": _notice,
    # What is lent or borrowed stays in the account's own balances.
    "borrowLend": _notice,
}


def draft_ledger(row: Row, account: str) -> list[Draft]:
    """Turn one row of userNonFundingLedgerUpdates into facts; RowError when it cannot be."""
    return LedgerRow(row, account).drafts()
