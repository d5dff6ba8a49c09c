"""The loop that folds a group's events: one pass, exact, without the interpreter.

Only `fold.py` calls it: what goes in and out is described there and in `layout.py`. Numba compiles
it at the first use and keeps it on disk. The rules of the loop:

- every array has room for the worst case beforehand; the loop never asks for memory;
- nothing wraps: a sum or product that leaves its words ends the fold with a code. Rows of that
  event may be half written, so the caller folds the chunk again, up to the event;
- a trade is open exactly while |position| >= dust; its totals grow in its own row;
- costs have signs of their own (prices may be negative): magnitudes are divided, signs put back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from fillbook.ledger import layout as w
from fillbook.ledger.machinecode import kept
from fillbook.ledger.wide import (
    U0,
    add64,
    add128,
    apply_sign,
    divide_half_even,
    leading_zeros,
    mul64,
    mul128x64,
    reciprocal,
    share_half_even,
    share_magnitude,
    sub128,
)

# Nothing here owns memory, so arrays need no reference counts: in the loop they would cost an
# atomic operation wherever an array is handed on. Division by zero cannot occur.
_PLAIN: dict[str, Any] = {"_nrt": False, "error_model": "numpy"}
inlined = njit(forceinline=True, **_PLAIN)
compiled = njit(**_PLAIN)

# words of `rules`
R_METHOD = 0
R_FACTOR = 1
R_DIVISOR = 2
R_DUST = 3
R_EVENT = 4  # group index of the first row
R_ROW_SHIFT = 5  # row of trade n is n + this

_RUNGS = 4
_FILL_RUNG = 3
_MIN64 = -(2**63)
# A place masked with this is known to be no negative index, which spares the check at every use.
_PLACE = 2**40 - 1


@inlined
def _get(words, place):
    """Return the money at a place as (hi, lo)."""
    return words[place], np.uint64(words[place + 1])


@inlined
def _put(words, place, hi, lo):
    """Write money at a place."""
    words[place] = hi
    words[place + 1] = np.int64(lo)


@inlined
def _clear(words, place, count):
    """Write zeros."""
    first = np.uint64(place)
    # unsigned, so that the compiler sees one run of memory
    for word in range(np.uint64(count)):
        words[first + word] = 0


@inlined
def _add(words, place, hi, lo):
    """Add to the money at a place; return whether that overflowed."""
    old_hi, old_lo = _get(words, place)
    hi, lo, bad = add128(old_hi, old_lo, hi, lo)
    _put(words, place, hi, lo)
    return bad


@inlined
def _add_signed(words, place, hi, lo, side):
    """Add side * money, side being +1 or -1; return whether that overflowed."""
    sign = side >> 63
    signed_hi, signed_lo = apply_sign(hi, lo, sign)
    bad = (hi == _MIN64) & (lo == U0) & (sign < 0)
    return _add(words, place, signed_hi, signed_lo) | bad


@inlined
def _count(words, place, qty):
    """Add to the quantity at a place; return whether that overflowed."""
    qty, bad = add64(words[place], qty)
    words[place] = qty
    return bad


@inlined
def _value(qty, px, factor, divisor):
    """Return half_even(qty * px * factor / divisor) as (hi, lo, overflow)."""
    hi, lo = mul64(qty, factor)
    bad = False
    if hi == np.int64(lo) >> 63:
        hi, lo = mul64(np.int64(lo), px)
    else:
        hi, lo, bad = mul128x64(hi, lo, px)
    if divisor != 1:
        hi, lo = divide_half_even(hi, lo, divisor)
    return hi, lo, bad


@inlined
def _removal(hi, lo, part, divisor, inverse):
    """Return sign(C) * floor(|C| * m / Q) as (hi, lo); m and Q are scaled, see share_magnitude."""
    sign = hi >> 63
    hi, lo = apply_sign(hi, lo, sign)
    qhi, qlo, _ = share_magnitude(np.uint64(hi), lo, part, divisor, inverse)
    return apply_sign(np.int64(qhi), qlo, sign)


@inlined
def _code(bad, bad_value, bad_qty):
    """Return the code of what went wrong first."""
    if bad_value:
        return w.VALUE_OVERFLOW
    if bad_qty:
        return w.QTY_OVERFLOW
    return w.MONEY_OVERFLOW if bad else w.FOLDED


@compiled
def _start_trade(books, at, head, trades, shift, event, side):
    """Open a trade that begins with whatever residue of its own side the book holds.

    Return (its place, overflow).
    """
    number = head[w.H_TRADES]
    head[w.H_TRADES] = number + 1
    row = ((number + shift) * w.TRADE_WORDS) & _PLACE
    books[at + w.B_TRADE] = number
    books[at + w.B_ROW] = row
    _clear(trades, row + w.T_SIDE, w.TRADE_WORDS - w.T_SIDE)
    trades[row + w.T_NUMBER] = number
    trades[row + w.T_BOOK] = at // w.BOOK_WORDS
    trades[row + w.T_OPENED_AT] = event
    trades[row + w.T_CLOSED_AT] = -1
    trades[row + w.T_SIDE] = side
    bad = False
    priced, unpriced = books[at + w.B_PRICED], books[at + w.B_UNPRICED]
    if priced != 0 and (priced > 0) == (side > 0):
        trades[row + w.T_OPENED] = abs(priced)
        hi, lo = _get(books, at + w.B_COST + 2 * _FILL_RUNG)
        bad = _add_signed(trades, row + w.T_ENTRY, hi, lo, side)
    if unpriced != 0 and (unpriced > 0) == (side > 0):
        trades[row + w.T_OPENED_UNPRICED] = abs(unpriced)
        trades[row + w.T_FLAGS] = w.TRADE_UNPRICED
    return row, bad


@compiled
def _close_trade(books, at, trades, event):
    """Close the book's open trade."""
    trades[(books[at + w.B_ROW] & _PLACE) + w.T_CLOSED_AT] = event
    books[at + w.B_TRADE] = -1


@compiled
def _free_lots(books, at, lots, head):
    """Give all lots of a book back to the pool."""
    if books[at + w.B_LOTS] > 0:
        lots[(books[at + w.B_LAST] & _PLACE) + w.L_LINK] = head[w.H_LOT_FREE]
        head[w.H_LOT_FREE] = books[at + w.B_FIRST]
        books[at + w.B_FIRST] = -1
        books[at + w.B_LAST] = -1
        books[at + w.B_LOTS] = 0


@compiled
def _new_lot(books, at, lots, head, method, qty):
    """Take a lot from the pool, last in line (FIFO) or first (LIFO); return its place."""
    lot = head[w.H_LOT_FREE]
    if lot >= 0:
        head[w.H_LOT_FREE] = lots[lot + w.L_LINK]
    else:
        lot = head[w.H_LOT_USED]
        head[w.H_LOT_USED] = lot + w.LOT_WORDS
    lot &= _PLACE
    lots[lot + w.L_QTY] = qty
    lots[lot + w.L_LINK] = -1
    if books[at + w.B_LOTS] == 0:
        books[at + w.B_FIRST] = lot
        books[at + w.B_LAST] = lot
    elif method == w.FIFO:
        lots[(books[at + w.B_LAST] & _PLACE) + w.L_LINK] = lot
        books[at + w.B_LAST] = lot
    else:
        lots[lot + w.L_LINK] = books[at + w.B_FIRST]
        books[at + w.B_FIRST] = lot
    books[at + w.B_LOTS] += 1
    return lot


@compiled
def _take_lots(books, at, lots, head, wanted, taken, row):
    """Consume lots worth `wanted`, less than all; write their cost at a row; tell overflow."""
    bad = False
    _clear(taken, row, 2 * _RUNGS)
    while wanted > 0:
        lot = books[at + w.B_FIRST] & _PLACE
        held = lots[lot + w.L_QTY]
        size = abs(held)
        whole = size <= wanted
        part = size if whole else wanted
        shift = leading_zeros(np.uint64(size))
        divisor = np.uint64(size) << shift
        inverse = U0 if whole else reciprocal(divisor)
        for k in range(_RUNGS):
            hi, lo = _get(lots, lot + w.L_COST + 2 * k)
            if not whole:
                left_hi, left_lo = hi, lo
                hi, lo = _removal(hi, lo, np.uint64(part) << shift, divisor, inverse)
                left_hi, left_lo, _ = sub128(left_hi, left_lo, hi, lo)
                _put(lots, lot + w.L_COST + 2 * k, left_hi, left_lo)
            bad |= _add(taken, row + 2 * k, hi, lo)
        if whole:
            books[at + w.B_FIRST] = lots[lot + w.L_LINK]
            books[at + w.B_LOTS] -= 1
            lots[lot + w.L_LINK] = head[w.H_LOT_FREE]
            head[w.H_LOT_FREE] = lot
        else:
            lots[lot + w.L_QTY] = held - part if held > 0 else held + part
        wanted -= part
    return bad


@compiled
def _take_cost(books, at, lots, head, method, wanted, taken, row):
    """Take the cost of `wanted` priced quantity out of a book; write it at a row; tell overflow."""
    held = abs(books[at + w.B_PRICED])
    if wanted == held:
        _free_lots(books, at, lots, head)
        for word in range(2 * _RUNGS):
            taken[row + word] = books[at + w.B_COST + word]
        _clear(books, at + w.B_COST, 2 * _RUNGS)
        return False
    bad = False
    shift = leading_zeros(np.uint64(held))
    divisor = np.uint64(held) << shift
    part = np.uint64(wanted) << shift
    inverse = U0
    if method == w.AVERAGE:
        inverse = reciprocal(divisor)
    else:
        bad = _take_lots(books, at, lots, head, wanted, taken, row)
    for k in range(_RUNGS):
        hi, lo = _get(books, at + w.B_COST + 2 * k)
        if method == w.AVERAGE:
            gone_hi, gone_lo = _removal(hi, lo, part, divisor, inverse)
            _put(taken, row + 2 * k, gone_hi, gone_lo)
        else:
            gone_hi, gone_lo = _get(taken, row + 2 * k)
        hi, lo, over = sub128(hi, lo, gone_hi, gone_lo)
        bad |= over
        _put(books, at + w.B_COST + 2 * k, hi, lo)
    return bad


@inlined
def _realise(realised, place, hi, lo, gone_hi, gone_lo, trades, total):
    """Write -(closing value + cost removed), add it to the trade's total; tell overflow."""
    hi, lo, bad = add128(hi, lo, gone_hi, gone_lo)
    hi, lo, over = sub128(np.int64(0), U0, hi, lo)
    _put(realised, place, hi, lo)
    return _add(trades, total, hi, lo) | bad | over


@compiled
def _adjust(i, qty, flags, rules, books, at, lots, head, trades, removed, removed_event, outs):
    """Fold one ADJUST; return a code."""
    event, shift = rules[R_EVENT] + i, rules[R_ROW_SHIFT]
    closed_qty, unpriced_closed, position_after, trade_close, trade_open, out_flags = outs
    priced, unpriced = books[at + w.B_PRICED], books[at + w.B_UNPRICED]
    position = priced + unpriced
    after, bad = add64(position, qty)
    if bad or after == _MIN64 or qty == _MIN64:
        return w.QTY_OVERFLOW
    position_after[i] = after
    live = abs(after) >= rules[R_DUST]
    trade, row = books[at + w.B_TRADE], books[at + w.B_ROW] & _PLACE
    mark = 0 if flags & w.OPENING else w.TRADE_APPROXIMATE
    side = 1 if after > 0 else -1
    if qty == 0 or position == 0 or (qty > 0) == (position > 0):
        if trade < 0 and live:
            row, bad = _start_trade(books, at, head, trades, shift, event, side)
            trade = books[at + w.B_TRADE]
        books[at + w.B_UNPRICED] = unpriced + qty
        trade_open[i] = trade
        if trade < 0:
            out_flags[i] = w.OUTSIDE_TRADE
        elif qty != 0:
            bad |= _count(trades, row + w.T_OPENED_UNPRICED, abs(qty))
            trades[row + w.T_FLAGS] |= mark | w.TRADE_UNPRICED
            trades[row + w.T_MAX] = max(trades[row + w.T_MAX], abs(after))
        return w.QTY_OVERFLOW if bad else w.FOLDED

    size, held = abs(qty), abs(position)
    closing = min(size, held)
    without_cost = min(closing, abs(unpriced))
    with_cost = closing - without_cost
    closed_qty[i] = closing
    unpriced_closed[i] = without_cost
    trade_close[i] = trade
    out_flags[i] = w.REALISED_UNKNOWN if trade >= 0 else w.REALISED_UNKNOWN | w.OUTSIDE_TRADE
    if with_cost > 0:
        place = head[w.H_REMOVED]
        head[w.H_REMOVED] = place + 1
        removed_event[place] = event
        target = place * 2 * _RUNGS
        bad = _take_cost(books, at, lots, head, rules[R_METHOD], with_cost, removed, target)
        mark |= w.TRADE_UNPRICED
    direction = 1 if position > 0 else -1
    books[at + w.B_PRICED] = priced - direction * with_cost
    books[at + w.B_UNPRICED] = unpriced - direction * without_cost
    crossing = size > held
    if trade >= 0:
        trades[row + w.T_FLAGS] |= mark
        if crossing or not live:
            _close_trade(books, at, trades, event)
    if crossing:
        if live:
            row, _ = _start_trade(books, at, head, trades, shift, event, side)
            trade_open[i] = books[at + w.B_TRADE]
            trades[row + w.T_OPENED_UNPRICED] = abs(after)
            trades[row + w.T_MAX] = abs(after)
            trades[row + w.T_FLAGS] = mark | w.TRADE_UNPRICED
        books[at + w.B_UNPRICED] = after
    return w.MONEY_OVERFLOW if bad else w.FOLDED


@compiled
def _share(books, at, head, hi, lo):
    """Return (hi, lo, code): what this book gets of money split by signed open positions."""
    book = at // w.BOOK_WORDS
    if book != head[w.H_SHARE_NEXT]:
        return np.int64(0), U0, w.SHARE_BROKEN
    if book == 0:
        whole = np.int64(0)
        for other in range(0, len(books), w.BOOK_WORDS):
            if books[other + w.B_TRADE] >= 0:
                whole, bad = add64(whole, books[other + w.B_PRICED] + books[other + w.B_UNPRICED])
                if bad or whole == _MIN64:
                    return np.int64(0), U0, w.QTY_OVERFLOW
        _clear(head, w.H_SHARE_NEXT, 5)
        head[w.H_SHARE_QTY] = whole
    last = at + w.BOOK_WORDS == len(books)
    head[w.H_SHARE_NEXT] = 0 if last else book + 1
    whole = head[w.H_SHARE_QTY]
    if whole == 0:
        if book != 0:
            hi, lo = np.int64(0), U0
    else:
        if books[at + w.B_TRADE] >= 0:
            position = books[at + w.B_PRICED] + books[at + w.B_UNPRICED]
            done, bad = add64(head[w.H_SHARE_DONE], position)
            if bad or done == _MIN64:
                return np.int64(0), U0, w.QTY_OVERFLOW
            head[w.H_SHARE_DONE] = done
        hi, lo, bad = share_half_even(hi, lo, head[w.H_SHARE_DONE], whole)
        given_hi, given_lo = _get(head, w.H_SHARE_GIVEN)
        _put(head, w.H_SHARE_GIVEN, hi, lo)
        hi, lo, over = sub128(hi, lo, given_hi, given_lo)
        if bad or over:
            return np.int64(0), U0, w.MONEY_OVERFLOW
    if last:
        _clear(head, w.H_SHARE_NEXT, 5)
    return hi, lo, w.FOLDED


@compiled
def _any_fill(
    i, qty, px, fee, marks, rules, books, at, lots, head, trades, realised, fee_open, outs
):
    """Fold one fill of any kind by any method; return a code.

    The loop itself knows the common ones: AVERAGE, priced, from flat, growing, or closing.
    """
    event, shift = rules[R_EVENT] + i, rules[R_ROW_SHIFT]
    method, factor, divisor = rules[R_METHOD], rules[R_FACTOR], rules[R_DIVISOR]
    closed_qty, unpriced_closed, _, trade_close, trade_open, out_flags = outs
    priced, unpriced = books[at + w.B_PRICED], books[at + w.B_UNPRICED]
    position = priced + unpriced
    after = position + qty
    live = abs(after) >= rules[R_DUST]
    size = abs(qty)
    # the side of what the fill closes, if anything
    side = -1 if qty > 0 else 1
    closing = min(size, abs(position)) if (position > 0) == (side > 0) else 0
    opening = size - closing
    without_cost = min(closing, abs(unpriced))
    with_cost = closing - without_cost
    closed_qty[i] = closing
    unpriced_closed[i] = without_cost
    fee_hi, fee_lo = _get(fee, 2 * i)
    bad = bad_value = bad_qty = False

    trade, row = books[at + w.B_TRADE], books[at + w.B_ROW] & _PLACE
    # A residue closed by the fill that opens the next trade: its result belongs to that one.
    begins = trade < 0 and opening > 0 and live
    if begins:
        row, bad = _start_trade(books, at, head, trades, shift, event, -side)
        trade = books[at + w.B_TRADE]
    trade_close[i] = trade if closing > 0 else -1
    result = 2 * _RUNGS * i
    if with_cost > 0:
        bad |= _take_cost(books, at, lots, head, method, with_cost, realised, result)
    else:
        _clear(realised, result, 2 * _RUNGS)
    lot = np.int64(0)
    has_lot = opening > 0 and method != w.AVERAGE
    if has_lot:
        lot = _new_lot(books, at, lots, head, method, -side * opening)

    closed_hi, closed_lo = np.int64(0), U0
    opened_hi, opened_lo = np.int64(0), U0
    for k in range(_RUNGS):
        # Parts are rounded one by one and the last takes the rest: their sum is the fill's value.
        price = px[_RUNGS * i + k]
        hi, lo, over = _value(qty, price, factor, divisor)
        bad_value |= over
        free_hi, free_lo = np.int64(0), U0
        if without_cost > 0:
            free_hi, free_lo, _ = _value(-side * without_cost, price, factor, divisor)
            hi, lo, over = sub128(hi, lo, free_hi, free_lo)
            bad |= over
        if opening > 0:
            rest_hi, rest_lo = hi, lo
            hi, lo, _ = _value(-side * with_cost, price, factor, divisor)
            opened_hi, opened_lo, over = sub128(rest_hi, rest_lo, hi, lo)
            bad |= over
            bad |= _add(books, at + w.B_COST + 2 * k, opened_hi, opened_lo)
            if has_lot:
                _put(lots, lot + w.L_COST + 2 * k, opened_hi, opened_lo)
        closed_hi, closed_lo, over = add128(free_hi, free_lo, hi, lo)
        bad |= over
        gone_hi, gone_lo = _get(realised, result + 2 * k)
        hi, lo, over = add128(hi, lo, gone_hi, gone_lo)
        bad |= over
        hi, lo, over = sub128(np.int64(0), U0, hi, lo)
        bad |= over
        _put(realised, result + 2 * k, hi, lo)
        if trade >= 0:
            bad |= _add(trades, row + w.T_REALISED + 2 * k, hi, lo)
    # without what opens, for _start_trade takes what is there for a residue
    books[at + w.B_PRICED] = priced - side * with_cost
    books[at + w.B_UNPRICED] = unpriced - side * without_cost

    told = w.REALISED_UNKNOWN if without_cost > 0 else 0
    if trade < 0:
        told |= w.OUTSIDE_TRADE
        fee_hi, fee_lo = np.int64(0), U0
    else:
        trades[row + w.T_FLAGS] |= marks
        trades[row + w.T_FILLS] += 1
        if trades[row + w.T_FLAGS] & w.TRADE_SIGNAL_UNPRICED:
            told |= w.SIGNAL_UNPRICED
            hi, lo = _get(realised, result)
            bad |= _add(trades, row + w.T_SIGNAL, hi, lo)
        if closing > 0 and not begins:
            bad_qty = _count(trades, row + w.T_CLOSED, closing)
            bad |= _add_signed(trades, row + w.T_EXIT, closed_hi, closed_lo, -side)
            flips = opening > 0 and live
            hi, lo = fee_hi, fee_lo
            if flips:
                hi, lo, _ = share_half_even(fee_hi, fee_lo, closing, size)
            bad |= _add(trades, row + w.T_FEES, hi, lo)
            fee_hi, fee_lo, over = sub128(fee_hi, fee_lo, hi, lo)
            bad |= over
            if opening > 0 or not live:
                _close_trade(books, at, trades, event)
            if flips:
                row, _ = _start_trade(books, at, head, trades, shift, event, -side)
                trades[row + w.T_FLAGS] = marks
                trades[row + w.T_FILLS] = 1
        if books[at + w.B_TRADE] >= 0 and (opening > 0 or closing == 0):
            bad_qty |= _count(trades, row + w.T_OPENED, opening)
            trades[row + w.T_MAX] = max(trades[row + w.T_MAX], abs(after))
            bad |= _add_signed(trades, row + w.T_ENTRY, opened_hi, opened_lo, -side)
            bad |= _add(trades, row + w.T_FEES, fee_hi, fee_lo)
            trade_open[i] = books[at + w.B_TRADE]
    out_flags[i] = told
    _put(fee_open, 2 * i, fee_hi, fee_lo)
    books[at + w.B_PRICED] -= side * opening
    return _code(bad, bad_value, bad_qty)


def _fold(
    start,
    stop,
    rules,
    kind,
    book,
    qty,
    px,
    fee,
    amount,
    flags,
    books,
    lots,
    head,
    trades,
    removed,
    removed_event,
    realised,
    closed_qty,
    unpriced_closed,
    position_after,
    trade_close,
    trade_open,
    fee_open,
    funding,
    out_flags,
):
    """Fold events [start, stop); return (code, row), the row being `stop` when all went well."""
    average = rules[R_METHOD] == w.AVERAGE
    factor = rules[R_FACTOR]
    divisor = rules[R_DIVISOR]
    dust = rules[R_DUST]
    first_event = rules[R_EVENT]
    shift = rules[R_ROW_SHIFT]
    outs = (closed_qty, unpriced_closed, position_after, trade_close, trade_open, out_flags)
    code = w.FOLDED
    n = start
    while n < stop:
        i = n & _PLACE
        at = np.int64(np.uint32(book[i])) * w.BOOK_WORDS
        what = kind[i]
        result = 2 * _RUNGS * i
        closed_qty[i] = 0
        unpriced_closed[i] = 0
        trade_close[i] = -1
        _clear(fee_open, 2 * i, 2)
        _clear(funding, 2 * i, 2)
        priced = books[at + w.B_PRICED]
        unpriced = books[at + w.B_UNPRICED]
        position = priced + unpriced
        trade = books[at + w.B_TRADE]
        row = books[at + w.B_ROW] & _PLACE
        if head[w.H_SHARE_NEXT] != 0 and what != w.FUNDING_SHARE:
            code = w.SHARE_BROKEN
            break

        if what != w.FILL:
            position_after[i] = position
            trade_open[i] = trade
            out_flags[i] = w.OUTSIDE_TRADE if trade < 0 else 0
            _clear(realised, result, 2 * _RUNGS)
            bad = False
            if what == w.ADJUST:
                out_flags[i] = 0
                trade_open[i] = -1
                code = _adjust(
                    i,
                    qty[i],
                    flags[i],
                    rules,
                    books,
                    at,
                    lots,
                    head,
                    trades,
                    removed,
                    removed_event,
                    outs,
                )
            elif what == w.FEE:
                if trade >= 0:
                    hi, lo = _get(fee, 2 * i)
                    _put(fee_open, 2 * i, hi, lo)
                    bad = _add(trades, row + w.T_FEES, hi, lo)
            else:
                hi, lo = _get(amount, 2 * i)
                if what == w.FUNDING_SHARE:
                    hi, lo, code = _share(books, at, head, hi, lo)
                _put(funding, 2 * i, hi, lo)
                if trade >= 0:
                    bad = _add(trades, row + w.T_FUNDING, hi, lo)
            if bad:
                code = w.MONEY_OVERFLOW
            if code != w.FOLDED:
                break
            n += 1
            continue

        moved = qty[i]
        after, bad_qty = add64(position, moved)
        if bad_qty or after == _MIN64 or moved == _MIN64:
            code = w.QTY_OVERFLOW
            break
        size = abs(moved)
        live = abs(after) >= dust
        bad = bad_value = False
        position_after[i] = after
        given = np.int64(flags[i])
        marks = 0 if given & w.DECISION_KNOWN else w.TRADE_SIGNAL_UNPRICED
        marks |= w.TRADE_FEE_UNKNOWN if given & w.FEE_UNKNOWN else 0

        # The order of the questions is that of the least surprise to the branch predictor.
        if average and position == 0 and live:
            # a trade opens; nothing was there, so everything is written and nothing added
            side = 1 if moved > 0 else -1
            trade = head[w.H_TRADES]
            head[w.H_TRADES] = trade + 1
            row = ((trade + shift) * w.TRADE_WORDS) & _PLACE
            books[at + w.B_TRADE] = trade
            books[at + w.B_ROW] = row
            books[at + w.B_PRICED] = moved
            hi, lo = np.int64(0), U0
            for k in range(_RUNGS):
                hi, lo, over = _value(moved, px[_RUNGS * i + k], factor, divisor)
                bad_value |= over
                _put(books, at + w.B_COST + 2 * k, hi, lo)
            _clear(realised, result, 2 * _RUNGS)
            trade_open[i] = trade
            sign = side >> 63
            bad = (hi == _MIN64) & (lo == U0) & (sign < 0)
            hi, lo = apply_sign(hi, lo, sign)
            fee_hi, fee_lo = _get(fee, 2 * i)
            _put(fee_open, 2 * i, fee_hi, fee_lo)
            trades[row + w.T_NUMBER] = trade
            trades[row + w.T_BOOK] = at // w.BOOK_WORDS
            trades[row + w.T_OPENED_AT] = first_event + n
            trades[row + w.T_CLOSED_AT] = -1
            trades[row + w.T_SIDE] = side
            trades[row + w.T_FLAGS] = marks
            trades[row + w.T_FILLS] = 1
            trades[row + w.T_OPENED] = size
            trades[row + w.T_CLOSED] = 0
            trades[row + w.T_MAX] = size
            trades[row + w.T_OPENED_UNPRICED] = 0
            _put(trades, row + w.T_ENTRY, hi, lo)
            _clear(trades, row + w.T_EXIT, w.T_FEES - w.T_EXIT)
            _put(trades, row + w.T_FEES, fee_hi, fee_lo)
            _clear(trades, row + w.T_FUNDING, 2)
            out_flags[i] = w.SIGNAL_UNPRICED if marks & w.TRADE_SIGNAL_UNPRICED else 0

        elif average and trade >= 0 and (moved == 0 or (moved ^ position) >= 0):
            # with the position: quantity and cost grow
            books[at + w.B_PRICED] = priced + moved
            hi, lo = np.int64(0), U0
            for k in range(_RUNGS):
                hi, lo, over = _value(moved, px[_RUNGS * i + k], factor, divisor)
                bad_value |= over
                bad |= _add(books, at + w.B_COST + 2 * k, hi, lo)
            _clear(realised, result, 2 * _RUNGS)
            trade_open[i] = trade
            bad_qty = _count(trades, row + w.T_OPENED, size)
            bad |= _add_signed(trades, row + w.T_ENTRY, hi, lo, trades[row + w.T_SIDE])
            hi, lo = _get(fee, 2 * i)
            _put(fee_open, 2 * i, hi, lo)
            bad |= _add(trades, row + w.T_FEES, hi, lo)
            trades[row + w.T_FILLS] += 1
            trades[row + w.T_MAX] = max(trades[row + w.T_MAX], abs(after))
            marks |= trades[row + w.T_FLAGS]
            trades[row + w.T_FLAGS] = marks
            out_flags[i] = w.SIGNAL_UNPRICED if marks & w.TRADE_SIGNAL_UNPRICED else 0

        elif average and trade >= 0 and unpriced == 0 and size <= abs(position):
            # an exit or a part of one, everything priced
            closed_qty[i] = size
            trade_close[i] = trade
            trade_open[i] = -1
            hi, lo = np.int64(0), U0
            if size == abs(position):
                for k in range(_RUNGS):
                    hi, lo, over = _value(moved, px[_RUNGS * i + k], factor, divisor)
                    bad_value |= over
                    gone_hi, gone_lo = _get(books, at + w.B_COST + 2 * k)
                    total = row + w.T_REALISED + 2 * k
                    bad |= _realise(
                        realised, result + 2 * k, hi, lo, gone_hi, gone_lo, trades, total
                    )
                _clear(books, at + w.B_COST, 2 * _RUNGS)
            else:
                scale = leading_zeros(np.uint64(abs(position)))
                whole = np.uint64(abs(position)) << scale
                part = np.uint64(size) << scale
                inverse = reciprocal(whole)
                for k in range(_RUNGS):
                    cost_hi, cost_lo = _get(books, at + w.B_COST + 2 * k)
                    gone_hi, gone_lo = _removal(cost_hi, cost_lo, part, whole, inverse)
                    cost_hi, cost_lo, _ = sub128(cost_hi, cost_lo, gone_hi, gone_lo)
                    _put(books, at + w.B_COST + 2 * k, cost_hi, cost_lo)
                    hi, lo, over = _value(moved, px[_RUNGS * i + k], factor, divisor)
                    bad_value |= over
                    total = row + w.T_REALISED + 2 * k
                    bad |= _realise(
                        realised, result + 2 * k, hi, lo, gone_hi, gone_lo, trades, total
                    )
            books[at + w.B_PRICED] = after
            bad_qty = _count(trades, row + w.T_CLOSED, size)
            bad |= _add_signed(trades, row + w.T_EXIT, hi, lo, -trades[row + w.T_SIDE])
            hi, lo = _get(fee, 2 * i)
            bad |= _add(trades, row + w.T_FEES, hi, lo)
            trades[row + w.T_FILLS] += 1
            marks |= trades[row + w.T_FLAGS]
            trades[row + w.T_FLAGS] = marks
            out_flags[i] = 0
            if marks & w.TRADE_SIGNAL_UNPRICED:
                out_flags[i] = w.SIGNAL_UNPRICED
                hi, lo = _get(realised, result)
                bad |= _add(trades, row + w.T_SIGNAL, hi, lo)
            if not live:
                trades[row + w.T_CLOSED_AT] = first_event + n
                books[at + w.B_TRADE] = -1

        else:
            trade_open[i] = -1
            code = _any_fill(
                i,
                moved,
                px,
                fee,
                marks,
                rules,
                books,
                at,
                lots,
                head,
                trades,
                realised,
                fee_open,
                outs,
            )
        if bad or bad_value or bad_qty:
            code = _code(bad, bad_value, bad_qty)
        if code != w.FOLDED:
            break
        n += 1
    return code, n


def _snapshot(books, lots, trades, out, out_lots):
    """Copy every book to `out` and its lots, in the order of consumption, to `out_lots`.

    Places mean nothing outside, so they become -1; closed trades leave -1 and zeros.
    """
    target = 0
    lot_target = 0
    for at in range(0, len(books), w.BOOK_WORDS):
        for word in range(w.B_TRADE + 1):
            out[target + word] = books[at + word]
        out[target + w.B_FIRST] = -1
        out[target + w.B_LAST] = -1
        if books[at + w.B_TRADE] >= 0:
            row = books[at + w.B_ROW]
            out[target + w.S_OPENED_AT] = trades[row + w.T_OPENED_AT]
            for word in range(w.TRADE_WORDS - w.T_SIDE):
                out[target + w.S_SIDE + word] = trades[row + w.T_SIDE + word]
        else:
            for word in range(w.S_OPENED_AT, w.STATE_WORDS):
                out[target + word] = 0
        target += w.STATE_WORDS
        lot = books[at + w.B_FIRST]
        for _ in range(books[at + w.B_LOTS]):
            for word in range(w.LOT_WORDS):
                out_lots[lot_target + word] = lots[lot + word]
            out_lots[lot_target + w.L_LINK] = -1
            lot_target += w.LOT_WORDS
            lot = lots[lot + w.L_LINK]


def _given(dtype: Any) -> Any:
    """Return the type of an input column: flat, and taken read-only so that both kinds fit."""
    return types.Array(dtype, 1, "C", readonly=True)


_WORDS = types.int64[::1]
_FOLD_TYPES = types.UniTuple(types.int64, 2)(
    types.int64,
    types.int64,
    _WORDS,
    _given(types.uint8),
    _given(types.int32),
    _given(types.int64),
    _given(types.int64),
    _given(types.int64),
    _given(types.int64),
    _given(types.uint8),
    *(_WORDS,) * 10,
    types.int32[::1],
    types.int32[::1],
    _WORDS,
    _WORDS,
    types.uint8[::1],
)


@cache
def compiled_fold() -> Callable[..., tuple[int, int]]:
    """Return the loop, compiled on the first call in a process and kept on disk."""
    loop: Callable[..., tuple[int, int]] = kept(_FOLD_TYPES, _fold, nogil=True, **_PLAIN)
    return loop


@cache
def compiled_snapshot() -> Callable[..., None]:
    """Return the copy of a state, compiled like the loop."""
    copy: Callable[..., None] = kept(types.void(*(_WORDS,) * 5), _snapshot, nogil=True, **_PLAIN)
    return copy
