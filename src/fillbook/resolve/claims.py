"""From the set of claims to ordered money events: a pure function of the set."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from fillbook.facts.model import Claimed
from fillbook.ground.settings import StrategyRule
from fillbook.resolve.event import Group, Resolved
from fillbook.resolve.standing import Standing


class ResolveRules(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration says about resolving; part of a ledger's identity."""

    strategies: tuple[StrategyRule, ...] = ()


def resolve(claims: Iterable[Claimed], rules: ResolveRules | None = None) -> Resolved:
    """Decide what is true: conflicts, corrections, rank, strategies, order, anchors.

    Depends only on the set of live claims, never on the order they arrived in.
    """
    standing = Standing(claims, (rules or ResolveRules()).strategies)
    groups: list[Group] = []
    findings = list(standing.findings)
    for key in standing.keys:
        group, more = standing.group(key)
        groups.append(group)
        findings += more
    return Resolved(
        groups=groups,
        findings=findings,
        coverage=standing.promises,
        orders=standing.orders,
        n_evidence=standing.n_evidence,
    )
