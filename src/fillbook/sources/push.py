"""What bots say themselves: decisions, votes, orders, assignments, as lines of JSON.

    {"kind": "order", "time": "2026-01-05T10:00:00Z", "instrument": "BTC", "status": "placed",
     "client_order_id": "mm-7", "side": "buy", "qty": "0.5", "px": "100.5"}

One schema for all ways in: the fields of the facts of these kinds, with `time` in place of
`ts_ns`, as ISO text with a zone or as whole nanoseconds. Numbers are decimal text; JSON numbers
are read by their digits. The same line twice is one claim, so sending again is harmless.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, NoReturn

import msgspec

from fillbook.facts.identity import Part, key_of
from fillbook.facts.model import AnyFact, Assignment, Claim, Decision, OrderUpdate, Vote
from fillbook.ground.clock import parse_ns
from fillbook.sources.rows import number_in
from fillbook.sources.source import Rejected, RowError

SOURCE = "push"
RANK_PUSH = 0
FILE = "pushed"

_KINDS: dict[str, type[Decision | Vote | OrderUpdate | Assignment]] = {
    "decision": Decision,
    "vote": Vote,
    "order": OrderUpdate,
    "assignment": Assignment,
}
_NOT_TOLD = {"ts_ns", "printed_ns"}
_IDS = ("fill_id", "order_id", "client_order_id")
_POSITIVE = {"px", "qty", "stop_px", "average_px", "expected_px"} | {
    f"{rung}_px" for rung in ("decision", "arrival", "mid")
}
_LONGEST_TEXT = 500
_SNIPPET = 200
# Below this a number of nanoseconds lies in 1973: it was meant in another unit.
_LEAST_NS = 10**17
_MOST_NS = 2**63 - 1


class Place(msgspec.Struct, frozen=True):
    """Whose account a line is about when it does not say; `account` as the venue names it."""

    venue: str | None = None
    account: str | None = None


Labels = Mapping[str, Sequence[Place]]
"""What each name that people gave stands for; a place without venue is that account anywhere."""


class Accepted(msgspec.Struct, frozen=True):
    """What of some lines can be remembered, in their order, and which were refused and why."""

    claims: tuple[Claim, ...]
    rejected: tuple[Rejected, ...]


def accept(
    body: bytes,
    default: Place | None = None,
    labels: Labels | None = None,
    *,
    file: str = FILE,
    first_line: int = 1,
) -> Accepted:
    """Read lines of JSON; blank ones are skipped, and no line stands in the way of another.

    `default` is whose they are where they do not say. `labels` are the names that people gave
    accounts: a line may use one of them as `account`.
    """
    claims: list[Claim] = []
    rejected: list[Rejected] = []
    for number, raw in enumerate(body.split(b"\n"), first_line):
        if not raw.strip():
            continue
        try:
            text = raw.decode("utf-8").strip()
            fact = _placed(parsed(text), default or Place(), labels or {})
            claims.append(Claim(fact, key_for(fact), text, line=number))
        except UnicodeDecodeError:
            snippet = raw[:_SNIPPET].decode("utf-8", "replace")
            rejected.append(Rejected(file, number, None, "is not UTF-8", snippet))
        except RowError as fault:
            rejected.append(Rejected(file, number, fault.field, fault.reason, text[:_SNIPPET]))
    return Accepted(tuple(claims), tuple(rejected))


def reparse(context: str, raw: str) -> list[AnyFact]:
    """Read one stored line again; `context` names whose it was found to be."""
    cells = parsed(raw) | msgspec.json.decode(context, type=dict[str, str])
    return [_fact(cells)]


def context_of(venue: str, account: str) -> str:
    """Return what `reparse` needs to know of a batch."""
    return msgspec.json.encode({"venue": venue, "account": account}).decode()


def parsed(text: str) -> dict[str, Any]:
    """Read one line into its cells; RowError when it is not one flat JSON object."""
    try:
        cells = json.loads(text, parse_float=str, parse_constant=_refused, object_pairs_hook=_once)
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, RowError):
            raise
        raise RowError(None, "is not a line of JSON") from fault
    if not isinstance(cells, dict):
        raise RowError(None, "is not a JSON object")
    return cells


def _refused(word: str) -> NoReturn:
    raise RowError(None, f"{word} is not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    cells = dict(pairs)
    if len(cells) != len(pairs):
        raise RowError(None, "names a field twice")
    return cells


def _placed(cells: dict[str, Any], default: Place, labels: Labels) -> AnyFact:
    """Fill in whose the line is, then read it; what it is comes first."""
    _shape(cells)
    account = cells.get("account", default.account)
    venue = cells.get("venue")
    known = labels.get(account, ()) if isinstance(account, str) else ()
    # Whose venue is certain is attached now, and others may be what that account was before.
    certain = [one for one in known if one.venue and venue in (None, one.venue)]
    meant = certain or [one for one in known if not one.venue]
    if len(meant) > 1:
        raise RowError("account", f"{account} is the label of several accounts: name one's own id")
    for one in meant:
        venue, account = one.venue or venue, one.account
    place = {"venue": venue or default.venue, "account": account}
    for name, value in place.items():
        if not value:
            raise RowError(name, "is missing")
    return _fact(cells | place)


def _shape(cells: Mapping[str, Any]) -> type[Decision | Vote | OrderUpdate | Assignment]:
    kind = cells.get("kind")
    shape = _KINDS.get(kind) if isinstance(kind, str) else None
    if shape is None:
        raise RowError("kind", f"{kind!r} is none of {', '.join(_KINDS)}")
    return shape


def _fact(cells: dict[str, Any]) -> AnyFact:
    kind, shape = cells.get("kind"), _shape(cells)
    known = {name for name in shape.__struct_fields__ if name not in _NOT_TOLD}
    for name in cells:
        if name not in known | {"kind", "time"}:
            raise RowError(name, f"is not a field of {kind}")
    told = {name: value for name, value in cells.items() if value is not None and name != "time"}
    told["ts_ns"] = _time(cells.get("time"))
    decimals = {f.name for f in msgspec.structs.fields(shape) if Decimal in _types_of(f.type)}
    for name, value in told.items():
        if name in decimals:
            told[name] = _number(name, value)
        elif isinstance(value, str):
            _check_text(name, value)
    try:
        fact = msgspec.convert(told, shape)
    except msgspec.ValidationError as fault:
        what, _, place = str(fault).partition(" - at `$.")
        raise RowError(place.rstrip("`") or _missing(what), what) from fault
    if isinstance(fact, OrderUpdate | Assignment) and not any(
        getattr(fact, name, None) for name in _IDS
    ):
        raise RowError("client_order_id", "names no order: give client_order_id or order_id")
    return fact


def _types_of(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__args__", (kind,))


def _missing(what: str) -> str | None:
    return what.split("`")[1] if "missing required field" in what else None


def _time(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise RowError("time", "is missing" if value is None else "is neither text nor an integer")
    if isinstance(value, str):
        try:
            value = parse_ns(value)
        except ValueError as fault:
            raise RowError("time", str(fault)) from fault
    if not _LEAST_NS <= value <= _MOST_NS:
        raise RowError("time", f"{value} is no time in nanoseconds between 1973 and 2262")
    return value


def _number(name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise RowError(name, "is not a number")
    # Enormous integers have no business here, and their text would take long to make.
    if isinstance(value, int) and abs(value) > 10**60:
        raise RowError(name, "has more than 60 digits")
    number = number_in(name, str(value))
    if name in _POSITIVE and number <= 0:
        raise RowError(name, f"{value} is not above zero")
    return number


def _check_text(name: str, value: str) -> None:
    if len(value) > _LONGEST_TEXT:
        raise RowError(name, f"is longer than {_LONGEST_TEXT} characters")
    if not value.isprintable():
        raise RowError(name, "holds control characters")


def key_for(fact: AnyFact) -> str:
    """Return the identity of a pushed fact, from the bot's own ids and its own time.

    A decision is itself by its id; an order's update by its order, status and time, so that the
    same update sent twice is one.
    """
    parts: Iterable[Part]
    if isinstance(fact, Decision):
        parts = (fact.decision_id,)
    elif isinstance(fact, Vote):
        parts = (fact.decision_id, fact.agent)
    elif isinstance(fact, OrderUpdate):
        order = fact.client_order_id or fact.order_id
        parts = (fact.instrument, order, fact.status, fact.ts_ns)
    else:
        parts = (*(getattr(fact, name) for name in _IDS), fact.ts_ns)
    return key_of(fact.ts_ns, SOURCE, *parts)
