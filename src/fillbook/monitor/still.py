"""Keeps the event loop from waiting long for the interpreter while threads fold and parse.

The search for garbage stops every thread until it is done, and it looks at everything that is
alive: half a second with a large book. A book does not become garbage, so what has grown is set
aside. And threads that compute take shorter turns, because the loop waits for each of them.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable

LOOK_S = 0.5
_TURN_S = 0.001
# Set aside rarely: a cycle that is set aside and dies later is never found.
_GROWN_PERCENT, _GROWN_LEAST = 125, 1000


async def keep_still(rows: Callable[[], int]) -> None:
    """Set aside what is in memory whenever the book has grown by a quarter, until cancelled."""
    known, usual_s = 0, sys.getswitchinterval()
    sys.setswitchinterval(_TURN_S)
    try:
        while True:
            now = rows()
            if now * 100 >= known * _GROWN_PERCENT + _GROWN_LEAST * 100:
                gc.freeze()
                known = now
            await asyncio.sleep(LOOK_S)
    finally:
        sys.setswitchinterval(usual_s)
        gc.unfreeze()
