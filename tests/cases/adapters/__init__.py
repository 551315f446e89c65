"""One adapter per kind of case: `run(stubs, case)` does with the engine what the case says, and asserts it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.cases.adapters import expiry, nearby, places, position, promise, returns, sourcing, transfer
from tests.rpc.engines import Stubs

Case = dict[str, Any]

ADAPTERS: Final[dict[str, Callable[[Stubs, Case], Awaitable[None]]]] = {
    "expiry": expiry.run,
    "nearby": nearby.run,
    "places": places.run,
    "position": position.run,
    "promise": promise.run,
    "returns": returns.run,
    "sourcing": sourcing.run,
    "transfer": transfer.run,
}
