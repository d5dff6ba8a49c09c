"""The loop that folds a group's events: one pass, exact, without the interpreter.

Only `fold.py` calls it: what goes in and out is described there and in `layout.py`. Numba compiles
it at the first use and keeps it on disk. The rules of the loop:

- every array has room for the worst case beforehand; the loop never asks for memory;
- nothing wraps: a sum or product that leaves its words ends the fold with a code. Rows of that
  event may be half written, so the caller folds the chunk again, up to the event;
- a trade is open exactly while |position| >= dust, and its words are zero while none is open;
- costs have signs of their own (prices may be negative): magnitudes are divided, signs put back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import njit, types

from fillbook.ledger import layout as w
from fillbook.ledger.wide import (
    U0,
    add64,
    add128,
    divide_half_even,
    leading_zeros,
    magnitude,
    mul64,
    mul128x64,
    negate,
    reciprocal,
    share_half_even,
    share_magnitude,
    sub128,
)

# places in `rules`
R_METHOD = 0
R_FACTOR = 1
R_DIVISOR = 2
R_DUST = 3
R_EVENT = 4  # group index of the first row
R_FIRST_TRADE = 5  # number of the first trade this fold may open
R_ROW_SHIFT = 6  # row of trade n is n + this
RULES = 7

_RUNGS = 4
_FILL_RUNG = 3
_MIN64 = -(2**63)


@njit(forceinline=True)
def _value(qty, px, factor, divisor):  # type: ignore[no-untyped-def]
    """Return half_even(qty * px * factor / divisor) as (hi, lo, overflow)."""
    hi, lo = mul64(qty, px)
    hi, lo, bad = mul128x64(hi, lo, factor)
    if divisor != 1:
        hi, lo = divide_half_even(hi, lo, divisor)
    return hi, lo, bad


@njit(forceinline=True)
def _removal(hi, lo, part, divisor, inverse):  # type: ignore[no-untyped-def]
    """Return sign(C) * floor(|C| * m / Q) as (hi, lo); m and Q are scaled, see share_magnitude."""
    mhi, mlo = magnitude(hi, lo)
    qhi, qlo, _ = share_magnitude(mhi, mlo, part, divisor, inverse)
    if hi < 0:
        return negate(np.int64(qhi), qlo)
    return np.int64(qhi), qlo


@njit(forceinline=True)
def _add(rows, at, word, hi, lo):  # type: ignore[no-untyped-def]
    """Add money to rows[at, word:]; return whether that overflowed."""
    hi, lo, bad = add128(rows[at, word], np.uint64(rows[at, word + 1]), hi, lo)
    rows[at, word] = hi
    rows[at, word + 1] = np.int64(lo)
    return bad


@njit(forceinline=True)
def _add_signed(rows, at, word, hi, lo, side):  # type: ignore[no-untyped-def]
    """Add side * money to rows[at, word:], side being +1 or -1; return whether that overflowed."""
    old_hi, old_lo = rows[at, word], np.uint64(rows[at, word + 1])
    if side > 0:
        hi, lo, bad = add128(old_hi, old_lo, hi, lo)
    else:
        hi, lo, bad = sub128(old_hi, old_lo, hi, lo)
    rows[at, word] = hi
    rows[at, word + 1] = np.int64(lo)
    return bad


@njit(forceinline=True)
def _count(rows, at, word, qty):  # type: ignore[no-untyped-def]
    """Add a quantity to rows[at, word]; return whether that overflowed."""
    qty, bad = add64(rows[at, word], qty)
    rows[at, word] = qty
    return bad


@njit(forceinline=True)
def _start_trade(books, at, head, event, side):  # type: ignore[no-untyped-def]
    """Open a trade that begins with whatever residue of its own side the book holds.

    Return (number, overflow).
    """
    bad = False
    number = head[w.H_TRADES]
    head[w.H_TRADES] = number + 1
    books[at, w.S_TRADE] = number
    books[at, w.S_OPENED_AT] = event
    books[at, w.S_SIDE] = side
    priced = books[at, w.S_PRICED]
    unpriced = books[at, w.S_UNPRICED]
    if (priced > 0) == (side > 0) and priced != 0:
        books[at, w.S_OPENED] = abs(priced)
        word = w.S_COST + 2 * _FILL_RUNG
        hi, lo = books[at, word], np.uint64(books[at, word + 1])
        bad = _add_signed(books, at, w.S_ENTRY, hi, lo, side)
    if (unpriced > 0) == (side > 0) and unpriced != 0:
        books[at, w.S_OPENED_UNPRICED] = abs(unpriced)
        books[at, w.S_FLAGS] = w.TRADE_UNPRICED
    return number, bad


@njit(forceinline=True)
def _close_trade(books, at, book, trades, carried, first, shift, event):  # type: ignore[no-untyped-def]
    """Write the finished trade's row and clear its words."""
    number = books[at, w.S_TRADE]
    row = number + shift if number >= first else carried[at]
    trades[row, w.T_NUMBER] = number
    trades[row, w.T_BOOK] = book
    trades[row, w.T_OPENED_AT] = books[at, w.S_OPENED_AT]
    trades[row, w.T_CLOSED_AT] = event
    books[at, w.S_TRADE] = -1
    books[at, w.S_OPENED_AT] = 0
    for word in range(w.TRADE_WORDS - w.T_SIDE):
        trades[row, w.T_SIDE + word] = books[at, w.S_SIDE + word]
        books[at, w.S_SIDE + word] = 0


@njit(forceinline=True)
def _free_lots(books, at, lots, head):  # type: ignore[no-untyped-def]
    """Give all lots of a book back to the pool."""
    if books[at, w.S_LOTS] > 0:
        lots[books[at, w.S_LAST], w.L_LINK] = head[w.H_LOT_FREE]
        head[w.H_LOT_FREE] = books[at, w.S_FIRST]
        books[at, w.S_FIRST] = -1
        books[at, w.S_LAST] = -1
        books[at, w.S_LOTS] = 0


@njit(forceinline=True)
def _new_lot(books, at, lots, head, method, qty):  # type: ignore[no-untyped-def]
    """Take a lot from the pool, last in line (FIFO) or first (LIFO); return its place."""
    place = head[w.H_LOT_FREE]
    if place >= 0:
        head[w.H_LOT_FREE] = lots[place, w.L_LINK]
    else:
        place = head[w.H_LOT_USED]
        head[w.H_LOT_USED] = place + 1
    lots[place, w.L_QTY] = qty
    if books[at, w.S_LOTS] == 0:
        lots[place, w.L_LINK] = -1
        books[at, w.S_FIRST] = place
        books[at, w.S_LAST] = place
    elif method == w.FIFO:
        lots[place, w.L_LINK] = -1
        lots[books[at, w.S_LAST], w.L_LINK] = place
        books[at, w.S_LAST] = place
    else:
        lots[place, w.L_LINK] = books[at, w.S_FIRST]
        books[at, w.S_FIRST] = place
    books[at, w.S_LOTS] += 1
    return place


@njit
def _take_lots(books, at, lots, head, wanted, taken, row):  # type: ignore[no-untyped-def]
    """Consume lots worth `wanted`, less than all; write their cost to taken[row]; tell overflow."""
    bad = False
    for word in range(2 * _RUNGS):
        taken[row, word // 2, word % 2] = 0
    while wanted > 0:
        place = books[at, w.S_FIRST]
        held = lots[place, w.L_QTY]
        size = abs(held)
        whole = size <= wanted
        part = size if whole else wanted
        shift = leading_zeros(np.uint64(size))
        divisor = np.uint64(size) << shift
        inverse = U0 if whole else reciprocal(divisor)
        for k in range(_RUNGS):
            word = w.L_COST + 2 * k
            hi, lo = lots[place, word], np.uint64(lots[place, word + 1])
            if not whole:
                ahi, alo = hi, lo
                hi, lo = _removal(hi, lo, np.uint64(part) << shift, divisor, inverse)
                ahi, alo, _ = sub128(ahi, alo, hi, lo)
                lots[place, word] = ahi
                lots[place, word + 1] = np.int64(alo)
            hi, lo, over = add128(taken[row, k, 0], np.uint64(taken[row, k, 1]), hi, lo)
            taken[row, k, 0] = hi
            taken[row, k, 1] = np.int64(lo)
            bad |= over
        if whole:
            books[at, w.S_FIRST] = lots[place, w.L_LINK]
            books[at, w.S_LOTS] -= 1
            lots[place, w.L_LINK] = head[w.H_LOT_FREE]
            head[w.H_LOT_FREE] = place
        else:
            lots[place, w.L_QTY] = held - part if held > 0 else held + part
        wanted -= part
    return bad


@njit
def _adjust(  # type: ignore[no-untyped-def]
    i, qty, flags, book, books, lots, head, trades, carried, removed, removed_event, rules, outs
):
    """Fold one ADJUST; return a code."""
    method, dust, event = rules[R_METHOD], rules[R_DUST], rules[R_EVENT] + i
    first, shift = rules[R_FIRST_TRADE], rules[R_ROW_SHIFT]
    closed_qty, unpriced_closed, position_after, trade_close, trade_open, out_flags = outs
    at = np.uint64(book)
    priced, unpriced = books[at, w.S_PRICED], books[at, w.S_UNPRICED]
    position = priced + unpriced
    after, bad = add64(position, qty)
    if bad or after == _MIN64 or qty == _MIN64:
        return w.QTY_OVERFLOW
    position_after[i] = after
    live = abs(after) >= dust
    trade = books[at, w.S_TRADE]
    mark = 0 if flags & w.OPENING else w.TRADE_APPROXIMATE
    side = 1 if after > 0 else -1
    if qty == 0 or position == 0 or (qty > 0) == (position > 0):
        if trade < 0 and live:
            trade, bad = _start_trade(books, at, head, event, side)
        books[at, w.S_UNPRICED] = unpriced + qty
        trade_open[i] = trade
        if trade >= 0 and qty != 0:
            bad |= _count(books, at, w.S_OPENED_UNPRICED, abs(qty))
            books[at, w.S_FLAGS] |= mark | w.TRADE_UNPRICED
            books[at, w.S_MAX] = max(books[at, w.S_MAX], abs(after))
        elif trade < 0:
            out_flags[i] = w.OUTSIDE_TRADE
        return w.QTY_OVERFLOW if bad else w.FOLDED

    size, held = abs(qty), abs(position)
    closing = min(size, held)
    without_cost = min(closing, abs(unpriced))
    with_cost = closing - without_cost
    closed_qty[i] = closing
    unpriced_closed[i] = without_cost
    out_flags[i] = w.REALISED_UNKNOWN
    if with_cost > 0:
        row = head[w.H_REMOVED]
        head[w.H_REMOVED] = row + 1
        removed_event[row] = event
        whole = with_cost == abs(priced)
        if whole:
            _free_lots(books, at, lots, head)
        elif method != w.AVERAGE:
            bad |= _take_lots(books, at, lots, head, with_cost, removed, row)
        scale = leading_zeros(np.uint64(abs(priced)))
        divisor = np.uint64(abs(priced)) << scale
        inverse = reciprocal(divisor)
        for k in range(_RUNGS):
            word = w.S_COST + 2 * k
            hi, lo = books[at, word], np.uint64(books[at, word + 1])
            ahi, alo = hi, lo
            if not whole and method == w.AVERAGE:
                hi, lo = _removal(hi, lo, np.uint64(with_cost) << scale, divisor, inverse)
            elif not whole:
                hi, lo = removed[row, k, 0], np.uint64(removed[row, k, 1])
            removed[row, k, 0] = hi
            removed[row, k, 1] = np.int64(lo)
            ahi, alo, over = sub128(ahi, alo, hi, lo)
            books[at, word] = ahi
            books[at, word + 1] = np.int64(alo)
            bad |= over
        mark |= w.TRADE_UNPRICED
    if position > 0:
        books[at, w.S_PRICED] = priced - with_cost
        books[at, w.S_UNPRICED] = unpriced - without_cost
    else:
        books[at, w.S_PRICED] = priced + with_cost
        books[at, w.S_UNPRICED] = unpriced + without_cost
    crossing = size > held
    trade_close[i] = trade
    if trade >= 0:
        books[at, w.S_FLAGS] |= mark
        if crossing or not live:
            _close_trade(books, at, book, trades, carried, first, shift, event)
    else:
        out_flags[i] |= w.OUTSIDE_TRADE
    if crossing and live:
        trade_open[i], _ = _start_trade(books, at, head, event, side)
        books[at, w.S_OPENED_UNPRICED] = abs(after)
        books[at, w.S_MAX] = abs(after)
        books[at, w.S_FLAGS] = mark | w.TRADE_UNPRICED
    if crossing:
        books[at, w.S_UNPRICED] = after
    return w.MONEY_OVERFLOW if bad else w.FOLDED


@njit
def _share(books, book, head, hi, lo):  # type: ignore[no-untyped-def]
    """Return (hi, lo, code): what this book gets of money split by signed open positions."""
    at = np.uint64(book)
    if book != head[w.H_SHARE_NEXT]:
        return np.int64(0), U0, w.SHARE_BROKEN
    if book == 0:
        whole = np.int64(0)
        for other in range(len(books)):
            if books[other, w.S_TRADE] >= 0:
                whole, bad = add64(whole, books[other, w.S_PRICED] + books[other, w.S_UNPRICED])
                if bad or whole == _MIN64:
                    return np.int64(0), U0, w.QTY_OVERFLOW
        head[w.H_SHARE_QTY] = whole
        head[w.H_SHARE_DONE] = 0
        head[w.H_SHARE_GIVEN] = 0
        head[w.H_SHARE_GIVEN + 1] = 0
    last = book == len(books) - 1
    head[w.H_SHARE_NEXT] = 0 if last else book + 1
    whole = head[w.H_SHARE_QTY]
    if whole == 0:
        if book != 0:
            hi, lo = np.int64(0), U0
    else:
        if books[at, w.S_TRADE] >= 0:
            done, bad = add64(head[w.H_SHARE_DONE], books[at, w.S_PRICED] + books[at, w.S_UNPRICED])
            if bad or done == _MIN64:
                return np.int64(0), U0, w.QTY_OVERFLOW
            head[w.H_SHARE_DONE] = done
        hi, lo, bad = share_half_even(hi, lo, head[w.H_SHARE_DONE], whole)
        ghi, glo = head[w.H_SHARE_GIVEN], np.uint64(head[w.H_SHARE_GIVEN + 1])
        head[w.H_SHARE_GIVEN] = hi
        head[w.H_SHARE_GIVEN + 1] = np.int64(lo)
        hi, lo, over = sub128(hi, lo, ghi, glo)
        if bad or over:
            return np.int64(0), U0, w.MONEY_OVERFLOW
    if last:
        for word in range(w.H_SHARE_NEXT, w.H_SHARE_GIVEN + 2):
            head[word] = 0
    return hi, lo, w.FOLDED


@njit(forceinline=True)
def _why(bad_value, bad_qty):  # type: ignore[no-untyped-def]
    if bad_value:
        return w.VALUE_OVERFLOW
    return w.QTY_OVERFLOW if bad_qty else w.MONEY_OVERFLOW


def _fold(  # type: ignore[no-untyped-def]
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
    carried,
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
    method = rules[R_METHOD]
    factor = rules[R_FACTOR]
    divisor = rules[R_DIVISOR]
    dust = rules[R_DUST]
    first = rules[R_FIRST_TRADE]
    shift = rules[R_ROW_SHIFT]
    average = method == w.AVERAGE
    outs = (closed_qty, unpriced_closed, position_after, trade_close, trade_open, out_flags)
    for i in range(start, stop):
        number = np.int64(book[i])
        at = np.uint64(number)
        what = kind[i]
        given = flags[i]
        if head[w.H_SHARE_NEXT] != 0 and what != w.FUNDING_SHARE:
            return w.SHARE_BROKEN, i

        if what != w.FILL:
            position = books[at, w.S_PRICED] + books[at, w.S_UNPRICED]
            trade = books[at, w.S_TRADE]
            closed_qty[i] = 0
            unpriced_closed[i] = 0
            position_after[i] = position
            trade_close[i] = -1
            trade_open[i] = trade
            for word in range(2 * _RUNGS):
                realised[i, word // 2, word % 2] = 0
            fee_open[i, 0] = 0
            fee_open[i, 1] = 0
            funding[i, 0] = 0
            funding[i, 1] = 0
            out_flags[i] = w.OUTSIDE_TRADE if trade < 0 else 0
            bad = False
            if what == w.ADJUST:
                out_flags[i] = 0
                trade_open[i] = -1
                code = _adjust(
                    i,
                    qty[i],
                    given,
                    number,
                    books,
                    lots,
                    head,
                    trades,
                    carried,
                    removed,
                    removed_event,
                    rules,
                    outs,
                )
                if code != w.FOLDED:
                    return code, i
            elif what == w.FEE:
                hi, lo = fee[i, 0], np.uint64(fee[i, 1])
                if trade >= 0:
                    fee_open[i, 0] = hi
                    fee_open[i, 1] = np.int64(lo)
                    bad = _add(books, at, w.S_FEES, hi, lo)
            else:
                hi, lo = amount[i, 0], np.uint64(amount[i, 1])
                if what == w.FUNDING_SHARE:
                    hi, lo, code = _share(books, number, head, hi, lo)
                    if code != w.FOLDED:
                        return code, i
                funding[i, 0] = hi
                funding[i, 1] = np.int64(lo)
                if trade >= 0:
                    bad = _add(books, at, w.S_FUNDING, hi, lo)
            if bad:
                return w.MONEY_OVERFLOW, i
            continue

        moved = qty[i]
        priced = books[at, w.S_PRICED]
        unpriced = books[at, w.S_UNPRICED]
        position = priced + unpriced
        after, bad_qty = add64(position, moved)
        if bad_qty or after == _MIN64 or moved == _MIN64:
            return w.QTY_OVERFLOW, i
        size = abs(moved)
        live = abs(after) >= dust
        trade = books[at, w.S_TRADE]
        bad = False
        bad_value = False
        position_after[i] = after
        funding[i, 0] = 0
        funding[i, 1] = 0
        fee_hi, fee_lo = fee[i, 0], np.uint64(fee[i, 1])
        marks = 0
        if not given & w.DECISION_KNOWN:
            marks = w.TRADE_SIGNAL_UNPRICED
        if given & w.FEE_UNKNOWN:
            marks |= w.TRADE_FEE_UNKNOWN

        if position == 0 or moved == 0 or (moved ^ position) >= 0:
            # with the position: add quantity and cost
            if trade < 0 and live:
                side = 1 if after > 0 else -1
                trade, bad = _start_trade(books, at, head, rules[R_EVENT] + i, side)
            lot = np.int64(-1)
            if not average and moved != 0:
                lot = _new_lot(books, at, lots, head, method, moved)
            hi, lo = np.int64(0), U0
            for k in range(_RUNGS):
                hi, lo, over = _value(moved, px[i, k], factor, divisor)
                bad_value |= over
                bad |= _add(books, at, w.S_COST + 2 * k, hi, lo)
                if lot >= 0:
                    lots[lot, w.L_COST + 2 * k] = hi
                    lots[lot, w.L_COST + 2 * k + 1] = np.int64(lo)
                realised[i, k, 0] = 0
                realised[i, k, 1] = 0
            books[at, w.S_PRICED] = priced + moved
            closed_qty[i] = 0
            unpriced_closed[i] = 0
            trade_close[i] = -1
            trade_open[i] = trade
            if trade >= 0:
                bad_qty = _count(books, at, w.S_OPENED, size)
                bad |= _add_signed(books, at, w.S_ENTRY, hi, lo, books[at, w.S_SIDE])
                bad |= _add(books, at, w.S_FEES, fee_hi, fee_lo)
                books[at, w.S_FILLS] += 1
                books[at, w.S_MAX] = max(books[at, w.S_MAX], abs(after))
                marks |= books[at, w.S_FLAGS]
                books[at, w.S_FLAGS] = marks
                fee_open[i, 0] = fee_hi
                fee_open[i, 1] = np.int64(fee_lo)
                out_flags[i] = w.SIGNAL_UNPRICED if marks & w.TRADE_SIGNAL_UNPRICED else 0
            else:
                fee_open[i, 0] = 0
                fee_open[i, 1] = 0
                out_flags[i] = w.OUTSIDE_TRADE
            if bad or bad_value or bad_qty:
                return _why(bad_value, bad_qty), i
            continue

        # against the position: unpriced quantity, then priced, then the other direction
        side = 1 if position > 0 else -1
        closing = min(size, abs(position))
        opening = size - closing
        without_cost = min(closing, abs(unpriced))
        with_cost = closing - without_cost
        starts = opening > 0 and live
        # a residue closed by the fill that opens the next trade: its result belongs to that one
        adopts = starts and trade < 0
        if adopts:
            trade, bad = _start_trade(books, at, head, rules[R_EVENT] + i, -side)
        sum_flags = marks
        if trade >= 0:
            sum_flags |= books[at, w.S_FLAGS]
        whole = with_cost == abs(priced)
        part = divided = inverse = U0
        if not whole:
            if average:
                scale = leading_zeros(np.uint64(abs(priced)))
                divided = np.uint64(abs(priced)) << scale
                part = np.uint64(with_cost) << scale
                inverse = reciprocal(divided)
            else:
                bad |= _take_lots(books, at, lots, head, with_cost, realised, i)
        elif not average:
            _free_lots(books, at, lots, head)
        ohi, olo = np.int64(0), U0
        chi, clo = np.int64(0), U0
        for k in range(_RUNGS):
            chi, clo, over = _value(moved, px[i, k], factor, divisor)
            bad_value |= over
            ehi, elo = chi, clo
            if without_cost > 0 or opening > 0:
                # parts are rounded one by one, the last takes the rest: their sum is the fill's
                uhi, ulo = np.int64(0), U0
                if without_cost > 0:
                    uhi, ulo, _ = _value(-side * without_cost, px[i, k], factor, divisor)
                if opening > 0:
                    phi, plo, _ = _value(-side * with_cost, px[i, k], factor, divisor)
                    ohi, olo, over = sub128(chi, clo, phi, plo)
                    bad |= over
                    ohi, olo, over = sub128(ohi, olo, uhi, ulo)
                    bad |= over
                    chi, clo = phi, plo
                    ehi, elo, over = add128(phi, plo, uhi, ulo)
                    bad |= over
                else:
                    chi, clo, over = sub128(chi, clo, uhi, ulo)
                    bad |= over
            # ... cost
            word = w.S_COST + 2 * k
            hi, lo = books[at, word], np.uint64(books[at, word + 1])
            rhi, rlo = hi, lo
            if not whole:
                if average:
                    rhi, rlo = _removal(hi, lo, part, divided, inverse)
                else:
                    rhi, rlo = realised[i, k, 0], np.uint64(realised[i, k, 1])
            hi, lo, over = sub128(hi, lo, rhi, rlo)
            bad |= over
            if opening > 0:
                hi, lo, over = add128(hi, lo, ohi, olo)
                bad |= over
            books[at, word] = hi
            books[at, word + 1] = np.int64(lo)
            hi, lo, over = add128(chi, clo, rhi, rlo)
            bad |= over
            hi, lo, over = sub128(np.int64(0), U0, hi, lo)
            bad |= over
            realised[i, k, 0] = hi
            realised[i, k, 1] = np.int64(lo)
            if trade >= 0:
                bad |= _add(books, at, w.S_REALISED + 2 * k, hi, lo)
                if k == 0 and sum_flags & w.TRADE_SIGNAL_UNPRICED:
                    bad |= _add(books, at, w.S_SIGNAL, hi, lo)
            chi, clo = ehi, elo
        # here chi, clo is what closed at the fill rung and ohi, olo what opened
        if opening > 0:
            books[at, w.S_PRICED] = 0
            books[at, w.S_UNPRICED] = 0
        else:
            books[at, w.S_PRICED] = priced - side * with_cost
            books[at, w.S_UNPRICED] = unpriced - side * without_cost
        closed_qty[i] = closing
        unpriced_closed[i] = without_cost
        trade_close[i] = trade
        told = w.REALISED_UNKNOWN if without_cost > 0 else 0
        if sum_flags & w.TRADE_SIGNAL_UNPRICED and trade >= 0:
            told |= w.SIGNAL_UNPRICED
        out_flags[i] = told | w.OUTSIDE_TRADE if trade < 0 else told
        nhi, nlo = np.int64(0), U0
        begun = np.int64(-1)
        if trade >= 0:
            books[at, w.S_FLAGS] = sum_flags
            books[at, w.S_FILLS] += 1
            if adopts:
                begun = trade
                nhi, nlo = fee_hi, fee_lo
            else:
                bad_qty = _count(books, at, w.S_CLOSED, closing)
                bad |= _add_signed(books, at, w.S_EXIT, chi, clo, -side)
                if starts:
                    hi, lo, _ = share_half_even(fee_hi, fee_lo, closing, size)
                    bad |= _add(books, at, w.S_FEES, hi, lo)
                    nhi, nlo, over = sub128(fee_hi, fee_lo, hi, lo)
                    bad |= over
                else:
                    bad |= _add(books, at, w.S_FEES, fee_hi, fee_lo)
                if opening > 0 or not live:
                    _close_trade(
                        books, at, number, trades, carried, first, shift, rules[R_EVENT] + i
                    )
            if starts:
                if not adopts:
                    begun, _ = _start_trade(books, at, head, rules[R_EVENT] + i, -side)
                    books[at, w.S_FLAGS] = marks
                    books[at, w.S_FILLS] = 1
                books[at, w.S_OPENED] = opening
                books[at, w.S_MAX] = opening
                bad |= _add_signed(books, at, w.S_ENTRY, ohi, olo, -side)
                bad |= _add(books, at, w.S_FEES, nhi, nlo)
        trade_open[i] = begun
        fee_open[i, 0] = nhi
        fee_open[i, 1] = np.int64(nlo)
        if opening > 0:
            books[at, w.S_PRICED] = after
            if not average:
                lot = _new_lot(books, at, lots, head, method, after)
                for word in range(2 * _RUNGS):
                    lots[lot, w.L_COST + word] = books[at, w.S_COST + word]
        if bad or bad_value or bad_qty:
            return _why(bad_value, bad_qty), i
    return w.FOLDED, stop


def _gather(books, lots, out):  # type: ignore[no-untyped-def]
    """Copy every book's lots in the order of consumption to `out`, links cleared."""
    row = 0
    for at in range(len(books)):
        place = books[at, w.S_FIRST]
        for _ in range(books[at, w.S_LOTS]):
            for word in range(w.LOT_WORDS):
                out[row, word] = lots[place, word]
            out[row, w.L_LINK] = -1
            row += 1
            place = lots[place, w.L_LINK]


def _of(dtype: Any, dims: int, readonly: bool = False) -> Any:
    return types.Array(dtype, dims, "C", readonly=readonly)


_ROWS = types.int64[:, ::1]
_FOLD_TYPES = types.UniTuple(types.int64, 2)(
    types.int64,
    types.int64,
    types.int64[::1],
    _of(types.uint8, 1, True),
    _of(types.int32, 1, True),
    _of(types.int64, 1, True),
    _of(types.int64, 2, True),
    _of(types.int64, 2, True),
    _of(types.int64, 2, True),
    _of(types.uint8, 1, True),
    _ROWS,
    _ROWS,
    types.int64[::1],
    _ROWS,
    types.int64[::1],
    types.int64[:, :, ::1],
    types.int64[::1],
    types.int64[:, :, ::1],
    types.int64[::1],
    types.int64[::1],
    types.int64[::1],
    types.int32[::1],
    types.int32[::1],
    _ROWS,
    _ROWS,
    types.uint8[::1],
)


@cache
def compiled_fold() -> Callable[..., tuple[int, int]]:
    """Return the loop, compiled on the first call in a process and kept on disk."""
    compiled: Callable[..., tuple[int, int]] = njit(
        _FOLD_TYPES, cache=True, nogil=True, error_model="numpy"
    )(_fold)
    return compiled


@cache
def compiled_gather() -> Callable[..., None]:
    """Return the walk over open lots, compiled like the loop."""
    compiled: Callable[..., None] = njit(types.void(_ROWS, _ROWS, _ROWS), cache=True, nogil=True)(
        _gather
    )
    return compiled
