"""The chain of a promise as steps, each with the rule behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.domain.calendars import local_day, local_time
from invengine.domain.orders import Fulfilment
from invengine.domain.promising import Step, StepKind
from invengine.domain.transit import NOTHING_LEARNT, TransitLevel

if TYPE_CHECKING:
    from invengine.domain.calendars import Calendar
    from invengine.domain.network import Network
    from invengine.domain.network_parts import Location
    from invengine.domain.orders import Destination
    from invengine.domain.transit import TransitAnswer, TransitTimes
    from invengine.services.dates import Chain

_HOUR = 60
_OF_LEVEL = {
    TransitLevel.LANE: "of the lane",
    TransitLevel.ZONE: "to the zone",
    TransitLevel.SERVICE: "of the service",
}


def steps_of(
    chain: Chain, network: Network, to: Destination, learnt: TransitTimes = NOTHING_LEARNT, confidence_parts: int = 0
) -> tuple[Step, ...]:
    """From the stock to the customer; `chain` has a date. `learnt` and `confidence_parts` are those it was dated by."""
    name, place = chain.location, network.locations[chain.location]
    fulfilment = chain.option.fulfilment
    if fulfilment is Fulfilment.SHIP_TO_STORE and name == to.location:
        fulfilment = Fulfilment.PICKUP  # it is there already
    preparation = place.preparation[fulfilment]

    def at(kind: StepKind, minute: int, rule: str = "") -> Step:
        return Step(kind, name, local_day(minute, place.time_zone), minute, rule)

    steps = [
        at(StepKind.AVAILABLE, chain.start),
        at(StepKind.ACCEPTED, chain.begin, _accepted(chain, place, preparation.cut_off_of(chain.option.service))),
        at(StepKind.HANDLED, chain.done, f"{_duration(preparation.handling_minutes)} of working time"),
    ]
    if preparation.capacity is not None:
        most, what = preparation.capacity.units or preparation.capacity.orders, "units"
        if not preparation.capacity.units:
            what = "orders"
        steps.append(Step(StepKind.SLOT, name, chain.slot_day, rule=f"at most {most} {what} a day"))
    if fulfilment is Fulfilment.SHIP:
        lane_name = name, network.delivery.zone_of(to.country, to.postal_code), chain.option.service
        lane = network.delivery.lanes[lane_name]
        steps.append(Step(StepKind.SHIPPED, name, chain.ship_day, rule=_collected(lane.pickups)))
        days = _transit(chain.transit_days, network.delivery.services[chain.option.service].calendar)
        if confidence_parts and (answer := learnt.answer(*lane_name, confidence_parts)) is not None:
            days += f"; {_learnt(answer)}; stated are {lane.transit_days}"
        steps.append(Step(StepKind.ARRIVED, "", chain.delivery_day, rule=days))
        return tuple(steps)
    if fulfilment is Fulfilment.SHIP_TO_STORE:
        steps += _sent(chain, network, to.location)
    where = to.location or name
    store = network.locations[where]
    opening = f"opening hours {store.opening.name}" if store.opening and store.opening.name else "opening hours"
    steps.append(Step(StepKind.READY, where, local_day(chain.ready, store.time_zone), chain.ready, opening))
    return tuple(steps)


def _sent(chain: Chain, network: Network, to: str) -> list[Step]:
    """From a location to the store, and prepared there."""
    transfer, store = network.delivery.transfer_lanes[chain.location, to], network.locations[to]
    handling = store.preparation[Fulfilment.PICKUP].handling_minutes
    return [
        Step(StepKind.SHIPPED, chain.location, chain.ship_day, rule=_collected(transfer.pickups)),
        Step(StepKind.ARRIVED, to, chain.arrival_day, rule=_transit(transfer.transit_days, transfer.calendar)),
        Step(
            StepKind.PREPARED,
            to,
            local_day(chain.store_done, store.time_zone),
            chain.store_done,
            f"{_duration(handling)} of working time",
        ),
    ]


def _accepted(chain: Chain, place: Location, cut_off: int | None) -> str:
    """Why it is taken up then."""
    what = "the end of working time" if cut_off is None else f"the cut-off {_clock(cut_off)}"
    if chain.cut_off == 0:
        return "closed on that day: taken up when the next working day begins"
    if chain.start >= chain.cut_off:
        return f"not before {what}: taken up when the next working day begins"
    if chain.begin == chain.start:
        return f"before {what}"
    return f"before {what}; work begins at {_clock(local_time(chain.begin, place.time_zone)[1])}"


def _duration(minutes: int) -> str:
    hours, rest = divmod(minutes, _HOUR)
    return " ".join(([f"{hours} h"] if hours else []) + ([f"{rest} min"] if rest or not hours else []))


def _clock(minute: int) -> str:
    return f"{minute // _HOUR:02}:{minute % _HOUR:02}"


def _collected(pickups: Calendar) -> str:
    return f"collected on days of {pickups.name}" if pickups.name else "collected every working day"


def _learnt(answer: TransitAnswer) -> str:
    """Where a learnt number of days comes from: how many arrive within it, and which deliveries say so."""
    share = f"{100 * answer.probability:.1f}".removesuffix(".0")
    return f"{share} % arrive within that, by {answer.deliveries} deliveries {_OF_LEVEL[answer.level]}"


def _transit(days: int, calendar: Calendar) -> str:
    count = "1 day" if days == 1 else f"{days} days"
    return f"{count} of transit" + (f", days of {calendar.name}" if calendar.name else "")
