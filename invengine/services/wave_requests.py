"""From the messages of PlanWave and CommitPlan to records: checked, refused with the field that is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.orders import Destination, Fulfilment
from invengine.domain.waves import (
    CLASS_MAX,
    KEEP_SECONDS,
    KEEP_SECONDS_MAX,
    LINES_MAX,
    ORDERS_MAX,
    UNITS_OF_LINE_MAX,
    WORTH_MAX,
    MinimumShare,
    Mode,
    Target,
    WaveLine,
    WaveOrder,
)
from invengine.errors import InvalidArgument, UnknownGroup
from invengine.services.days import optional_day
from invengine.services.kit_lines import LINES_MAX as LINES_OF_ORDER_MAX
from invengine.services.reservation_lines import FULFILMENTS, check_destination
from invengine.services.validation import count_of, is_plain, optional_text, required_id, seconds_up

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.v1 import wave_pb2 as pb

SHARES_MAX: Final = 10_000
SKUS_MAX: Final = 10_000
PERCENT_MAX: Final = 100
LINES_A_TURN: Final = 500
"""Looked at before others have their turn: some 2 ms."""

_MODES: Final = (Mode.FILL, Mode.FILL, Mode.FAIR)
_TARGETS: Final = (Target.CONFIRMED, Target.CONFIRMED, Target.HELD)
_NOWHERE: Final = Destination()


class WaitingAsked(NamedTuple):
    """Which lines that wait are to be filled. An empty `channel` or `group`, or no SKUs: any."""

    skus: frozenset[str]
    channel: str
    group: str
    priority_class: int
    worth: int
    same_location_only: bool


@dataclass(frozen=True, slots=True)
class WaveAsked:
    """A request for a plan that obeys the contract."""

    request_id: str
    fingerprint: str
    orders: tuple[WaveOrder, ...]
    waiting: WaitingAsked | None
    mode: Mode
    shares: tuple[MinimumShare, ...]
    profile: str
    group: str
    keep_seconds: int


class CommitAsked(NamedTuple):
    """A request for a commit that obeys the contract. `seconds`: to live when held, 0 for the channel's default."""

    request_id: str
    fingerprint: str
    plan_id: str
    target: Target
    seconds: int


async def check_wave(message: pb.PlanWaveRequest, fingerprint: str) -> WaveAsked:
    """The request, if it obeys the contract; InvalidArgument names the field that does not. Others work in between."""
    request_id = required_id("request_id", message.request_id)
    count_of("orders", len(message.orders), ORDERS_MAX, least=0)
    count = sum([len(order.lines) for order in message.orders])
    if count > LINES_MAX:
        raise InvalidArgument("orders", f"have {count} lines together; at most {LINES_MAX} are allowed")
    waiting = _check_waiting(message.waiting) if message.HasField("waiting") else None
    if not message.orders and waiting is None:
        raise InvalidArgument("orders", "or waiting is required")
    if not 0 <= message.mode < len(_MODES):
        raise InvalidArgument("mode", f"{message.mode} is not a mode")
    keep = seconds_up("keep", message.keep) if message.HasField("keep") else KEEP_SECONDS
    if keep > KEEP_SECONDS_MAX:
        raise InvalidArgument("keep", f"is {keep} s; at most {KEEP_SECONDS_MAX} s are allowed")
    return WaveAsked(
        request_id,
        fingerprint,
        await _check_orders(message.orders),
        waiting,
        _MODES[message.mode],
        _check_shares(message.minimum_shares),
        optional_text("profile", message.profile, 128),
        optional_text("group", message.group),
        keep,
    )


def check_network(asked: WaveAsked, network: Network) -> None:
    """Refuses what the network in force does not know: UnknownChannel, ChannelDisabled, UnknownGroup; and kits."""
    for channel in dict.fromkeys([order.channel for order in asked.orders]):
        network.usable(channel)
    for share in asked.shares:
        network.channel(share.channel)
    if asked.waiting is not None and asked.waiting.channel:
        network.usable(asked.waiting.channel)
    for group in (asked.group, asked.waiting.group if asked.waiting else ""):
        if group and group not in network.groups:
            raise UnknownGroup(group)
    if network.kits:
        for place, order in enumerate(asked.orders):
            for number, line in enumerate(order.lines):
                if line.sku in network.kits:
                    raise InvalidArgument(f"orders[{place}].lines[{number}].sku", f"{line.sku!r} is a kit")


def check_commit(message: pb.CommitPlanRequest) -> CommitAsked:
    """The request, if it obeys the contract; InvalidArgument names the field that does not."""
    request_id = required_id("request_id", message.request_id)
    plan_id = required_id("plan_id", message.plan_id)
    if not 0 <= message.target < len(_TARGETS):
        raise InvalidArgument("target", f"{message.target} is not a target")
    target = _TARGETS[message.target]
    seconds = seconds_up("time_to_live", message.time_to_live) if message.HasField("time_to_live") else 0
    if seconds and target is not Target.HELD:
        raise InvalidArgument("time_to_live", "goes with TARGET_HELD only")
    text = f"commit\t{plan_id}\t{target}\t{seconds}"
    return CommitAsked(request_id, blake2b(text.encode(), digest_size=16).hexdigest(), plan_id, target, seconds)


async def _check_orders(messages: Sequence[pb.WaveOrder]) -> tuple[WaveOrder, ...]:
    orders = []
    lines = 0
    seen: set[str] = set()
    for place, message in enumerate(messages):
        try:
            order = _check_order(message)
        except InvalidArgument as refusal:
            raise InvalidArgument(f"orders[{place}].{refusal.field}", refusal.problem) from None
        if order.order_id in seen:
            raise InvalidArgument(f"orders[{place}].order_id", f"{order.order_id!r} is the id of an earlier order")
        seen.add(order.order_id)
        orders.append(order)
        lines += len(order.lines)
        if lines >= LINES_A_TURN:
            lines = 0
            await asyncio.sleep(0)
    return tuple(orders)


def _check_order(message: pb.WaveOrder) -> WaveOrder:
    order_id = required_id("order_id", message.order_id)
    channel = required_id("channel", message.channel)
    _check_class("priority_class", message.priority_class)
    count_of("lines", len(message.lines), LINES_OF_ORDER_MAX)
    lines = []
    seen: set[str] = set()
    for place, line in enumerate(message.lines):
        try:
            found = _check_line(line, str(place + 1))
            if found.allow_partial and message.all_or_nothing:
                raise InvalidArgument("allow_partial", "not for an order of all_or_nothing")
            if found.line_id in seen:
                raise InvalidArgument("line_id", f"{found.line_id!r} is the id of an earlier line")
        except InvalidArgument as refusal:
            raise InvalidArgument(f"lines[{place}].{refusal.field}", refusal.problem) from None
        seen.add(found.line_id)
        lines.append(found)
    customer_ref = optional_text("customer_ref", message.customer_ref)
    return WaveOrder(order_id, channel, message.priority_class, tuple(lines), message.all_or_nothing, customer_ref)


def _check_line(message: pb.WaveOrderLine, line_id: str) -> WaveLine:
    sku = message.sku if is_plain(message.sku) else required_id("sku", message.sku)
    if not 1 <= message.quantity <= UNITS_OF_LINE_MAX:
        raise InvalidArgument("quantity", f"is {message.quantity}; 1 to {UNITS_OF_LINE_MAX} are allowed")
    location, group = optional_text("location", message.location), optional_text("group", message.group)
    if location and group:
        raise InvalidArgument("group", "cannot be given together with location")
    if not 0 <= message.fulfilment < len(FULFILMENTS):
        raise InvalidArgument("fulfilment", f"{message.fulfilment} is not a fulfilment")
    fulfilment = FULFILMENTS[message.fulfilment]
    if fulfilment is Fulfilment.PICKUP and not location:
        raise InvalidArgument("location", "is required for FULFILMENT_PICKUP")
    destination = check_destination(message.destination) if message.HasField("destination") else _NOWHERE
    if fulfilment is Fulfilment.SHIP_TO_STORE and not destination.location:
        raise InvalidArgument("destination.location", "is required for FULFILMENT_SHIP_TO_STORE")
    needed_by = optional_day(message, "needed_by")
    if needed_by and fulfilment is Fulfilment.ANY:
        raise InvalidArgument("fulfilment", "is required for a date")
    if needed_by and fulfilment is Fulfilment.SHIP and not destination.country:
        raise InvalidArgument("destination.country", "is required for a date")
    service = optional_text("service", message.service)
    if service and not (needed_by and fulfilment is Fulfilment.SHIP):
        raise InvalidArgument("service", "goes with FULFILMENT_SHIP and needed_by only")
    return WaveLine(
        optional_text("line_id", message.line_id) or line_id,
        sku,
        message.quantity,
        _check_worth("unit_worth", message.unit_worth),
        location,
        group,
        fulfilment,
        destination,
        needed_by,
        service,
        message.allow_split,
        message.allow_partial,
    )


def _check_waiting(message: pb.WaitingLines) -> WaitingAsked:
    count_of("waiting.skus", len(message.skus), SKUS_MAX, least=0)
    skus = frozenset([required_id(f"waiting.skus[{place}]", sku) for place, sku in enumerate(message.skus)])
    channel = optional_text("waiting.channel", message.channel)
    group = optional_text("waiting.group", message.group)
    if not (skus or channel or group or message.all):
        raise InvalidArgument("waiting.all", "is required where nothing else says which")
    _check_class("waiting.priority_class", message.priority_class)
    worth = _check_worth("waiting.unit_worth", message.unit_worth)
    return WaitingAsked(skus, channel, group, message.priority_class, worth, message.same_location_only)


def _check_shares(messages: Sequence[pb.MinimumShare]) -> tuple[MinimumShare, ...]:
    count_of("minimum_shares", len(messages), SHARES_MAX, least=0)
    shares = []
    percents: dict[str, int] = {}
    seen: set[tuple[str, str]] = set()
    for place, message in enumerate(messages):
        path = f"minimum_shares[{place}]"
        channel, sku = required_id(f"{path}.channel", message.channel), optional_text(f"{path}.sku", message.sku)
        if (channel, sku) in seen:
            raise InvalidArgument(f"{path}.channel", "has an earlier share of this SKU")
        seen.add((channel, sku))
        percent = units = 0
        if message.WhichOneof("share") == "percent":
            percent = message.percent
            percents[sku] = percents.get(sku, 0) + percent
            if percent < 1 or percents[sku] > PERCENT_MAX:
                raise InvalidArgument(f"{path}.percent", "1 to 100 are allowed, and 100 for all channels together")
        elif message.WhichOneof("share") == "units":
            units = message.units
            if not 1 <= units <= UNITS_OF_LINE_MAX:
                raise InvalidArgument(f"{path}.units", f"is {units}; 1 to {UNITS_OF_LINE_MAX} are allowed")
        else:
            raise InvalidArgument(f"{path}.share", "is required")
        shares.append(MinimumShare(channel, sku, percent, units))
    return tuple(shares)


def _check_class(field: str, number: int) -> None:
    if not 0 <= number <= CLASS_MAX:
        raise InvalidArgument(field, f"is {number}; 0 to {CLASS_MAX} are allowed")


def _check_worth(field: str, worth: int) -> int:
    if not 0 <= worth <= WORTH_MAX:
        raise InvalidArgument(field, f"is {worth}; 0 to {WORTH_MAX} are allowed")
    return worth
