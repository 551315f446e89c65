"""What a planner wants to try, checked: which profiles, on which stock, with which orders."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.what_if import WhatIfOrder
from invengine.errors import InvalidArgument
from invengine.services import validation
from invengine.services.basket_plans import basket_of
from invengine.services.days import optional_day
from invengine.services.reservation_lines import check_lines
from invengine.services.turns import Turns

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.v1 import whatif_pb2 as pb

PROFILES_MAX: Final = 4
ORDERS_DEFAULT: Final = 1000
ORDERS_MAX: Final = 10_000
LINES_MAX: Final = 50_000
RECENT_DAYS_DEFAULT: Final = 7
RECENT_DAYS_MAX: Final = 365


class OrdersFrom(IntEnum):
    """Where orders come from; by their numbers in the proto."""

    GIVEN = 1
    RECORDED = 2
    RECENT = 3


class CheckedWhatIf(NamedTuple):
    """A request that obeys the contract, but for its orders. `day` 0: the stock as it is."""

    profiles: tuple[str, ...]
    day: int
    orders_from: OrdersFrom
    orders_max: int
    recent_days: int
    seed: int


def check_what_if(message: pb.WhatIfRequest, today: int) -> CheckedWhatIf:
    """The request without its orders, if it obeys the contract; InvalidArgument names the field that does not."""
    validation.count_of("profiles", len(message.profiles), PROFILES_MAX)
    for place, text in enumerate(message.profiles):
        if text in message.profiles[:place]:
            raise InvalidArgument(f"profiles[{place}]", f"{text!r} is named twice")
    day = optional_day(message, "day")
    if day > today:
        raise InvalidArgument("day", "has not begun")
    if not 0 <= message.orders_from <= max(OrdersFrom):
        raise InvalidArgument("orders_from", f"{message.orders_from} is not where orders come from")
    usual = OrdersFrom.GIVEN if message.orders else OrdersFrom.RECORDED if day else OrdersFrom.RECENT
    orders_from = OrdersFrom(message.orders_from) if message.orders_from else usual
    if orders_from is not OrdersFrom.GIVEN and message.orders:
        raise InvalidArgument("orders", "go with ORDERS_FROM_GIVEN only")
    if orders_from is OrdersFrom.RECORDED and not day:
        raise InvalidArgument("day", "is required with ORDERS_FROM_RECORDED")
    least = 1 if orders_from is OrdersFrom.GIVEN else 0
    validation.count_of("orders", len(message.orders), ORDERS_MAX, least=least)
    if sum(len(order.lines) for order in message.orders) > LINES_MAX:
        raise InvalidArgument("orders", f"have more than {LINES_MAX} lines together")
    return CheckedWhatIf(
        tuple(message.profiles),
        day,
        orders_from,
        _within("orders_max", message.orders_max, ORDERS_MAX, ORDERS_DEFAULT),
        _within("recent_days", message.recent_days, RECENT_DAYS_MAX, RECENT_DAYS_DEFAULT),
        message.seed,
    )


async def orders_given(message: pb.WhatIfRequest, network: Network, at_ms: int) -> list[WhatIfOrder]:
    """The orders of a request as they are sourced. InvalidArgument, UnknownChannel."""
    found, turns = [], Turns()
    for place, order in enumerate(message.orders):
        path = f"orders[{place}]"
        channel = validation.required_id(f"{path}.channel", order.channel)
        network.channel(channel)
        try:
            basket = tuple(basket_of(check_lines(order.lines, dated=True), channel, network))
        except InvalidArgument as refusal:
            raise InvalidArgument(f"{path}.{refusal.field}", refusal.problem) from None
        name = validation.optional_text(f"{path}.order_id", order.order_id) or str(place + 1)
        found.append(WhatIfOrder(name, channel, basket, at_ms, order.best_effort))
        await turns.pause()
    return found


def _within(name: str, number: int, most: int, usual: int) -> int:
    if not 0 <= number <= most:
        raise InvalidArgument(name, f"is {number}; 0 to {most} are allowed")
    return number or usual
