"""Lines and units as people write them at the command line, and a reservation as they read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from invengine.cli.availability import FulfilmentOption
from invengine.cli.days import day_of, shown
from invengine.cli.output import fail_usage, say, table, tell
from invengine.cli.render import instant, word

if TYPE_CHECKING:
    from invengine.v1.common_pb2 import Fulfilment
    from invengine.v1.reservation_service_pb2 import (
        Allocation,
        LineAmendment,
        LinePromise,
        LineRebinding,
        LineUnits,
        Reservation,
        ReservationLineRequest,
    )


class Taking(NamedTuple):
    """Where and how units are taken, as the options of a command say it for all lines."""

    group: str = ""
    allow_split: bool = False
    allow_backorder: bool = False
    needed_by: str = ""
    is_dated: bool = False  # it may be promised a date: then --needed-by is the day of delivery

    def fields(self, *, is_located: bool) -> dict[str, Any]:
        """The fields of a line's message; one that names a location needs no group."""
        needed_by = None
        if self.needed_by:
            from invengine.client import as_date

            if not self.allow_backorder and not self.is_dated:
                fail_usage("--needed-by goes with --allow-backorder, --promise or --service.")
            needed_by = as_date(day_of(self.needed_by, "--needed-by"))
        return {
            "group": "" if is_located else self.group,
            "allow_split": self.allow_split,
            "allow_backorder": self.allow_backorder,
            "needed_by": needed_by,
        }


def _whole(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        fail_usage(f"{what}: {text!r} is not a whole number of units")
    return int(text)


class Delivery(NamedTuple):
    """Where lines go, and with which service of a carrier, as the options of a command say it for all lines."""

    to: str = ""
    store: str = ""
    service: str = ""

    def fields(self) -> dict[str, Any]:
        """The fields of a line's message."""
        from invengine.v1.common_pb2 import Destination

        country, _, postal_code = self.to.partition(":")
        if self.to and not (country.isascii() and country.isalpha() and len(country) == 2):
            fail_usage(f"--to: {self.to!r} is not a country of two letters and a postal code, as in DE:81671")
        destination = Destination(country=country.upper(), postal_code=postal_code, location=self.store)
        return {"destination": destination if self.to or self.store else None, "service": self.service}


def lines_of(
    items: list[str],
    location: str,
    fulfilment: FulfilmentOption,
    taking: Taking,
    delivery: Delivery | None = None,
) -> list[ReservationLineRequest]:
    """The lines of `SKU QUANTITY[@LOCATION]...`; `location` is for lines that name none."""
    from invengine.client import Line

    if len(items) % 2:
        fail_usage("Name a quantity for every SKU: SKU QUANTITY [SKU QUANTITY]...")
    lines = []
    for sku, amount in zip(items[::2], items[1::2], strict=True):
        quantity, _, named = amount.partition("@")
        lines.append(
            Line(
                sku=sku,
                quantity=_whole(quantity, sku),
                location=named or location,
                fulfilment=fulfilment.to_proto(),
                **taking.fields(is_located=bool(named)),
                **(delivery or Delivery()).fields(),
            )
        )
    return lines


def units_of(texts: list[str] | None) -> list[LineUnits]:
    """The units of `LINE[=QUANTITY[@LOCATION]]` options."""
    from invengine.client import LineUnits

    found = []
    for text in texts or ():
        line_id, said, amount = text.partition("=")
        quantity, _, location = amount.partition("@")
        units = _whole(quantity, f"--line {text}") if said and quantity else 0
        found.append(LineUnits(line_id=line_id, quantity=units, location=location))
    return found


def amendments_of(texts: list[str] | None, taking: Taking) -> list[LineAmendment]:
    """The lines of `LINE=QUANTITY[@LOCATION]` options."""
    from invengine.client import LineAmendment

    found = []
    for text in texts or ():
        line_id, said, amount = text.rpartition("=")
        if not said:
            fail_usage(f"--line {text}: name a quantity, --line {text}=QUANTITY")
        quantity, _, location = amount.partition("@")
        found.append(
            LineAmendment(
                line_id=line_id,
                quantity=_whole(quantity, f"--line {text}"),
                location=location,
                **taking.fields(is_located=bool(location)),
            )
        )
    return found


def added_lines_of(
    texts: list[str] | None, fulfilment: FulfilmentOption, taking: Taking
) -> list[ReservationLineRequest]:
    """The lines of `SKU=QUANTITY[@LOCATION]` options."""
    items: list[str] = []
    for text in texts or ():
        sku, said, amount = text.rpartition("=")
        if not said:
            fail_usage(f"--add {text}: name a quantity, --add {text}=QUANTITY")
        items += (sku, amount)
    return lines_of(items, "", fulfilment, taking)


def rebindings_of(texts: list[str] | None, location: str, taking: Taking) -> list[LineRebinding]:
    """The lines of `LINE[@LOCATION]` options, all lines where there are none."""
    from invengine.client import LineRebinding

    found = []
    for text in texts or ("",):
        line_id, _, named = text.partition("@")
        if text and not line_id:
            fail_usage(f"--line {text}: name the line, --line LINE{text}")
        found.append(
            LineRebinding(
                line_id=line_id,
                location=named or location,
                **taking.fields(is_located=bool(named)),
            )
        )
    return found


def show_reservation(reservation: Reservation, replayed: bool = False) -> None:
    """Print a reservation: a line of facts, its kits, a table of what was taken where."""
    state = word(type(reservation).State.Name(reservation.state), "STATE_")
    expires = instant(reservation.expire_time)
    parts = [f"reservation {reservation.reservation_id}", state, f"channel {reservation.channel}"]
    parts += [f"expires {expires}"] if expires else []
    parts += [
        f"{name} {value}"
        for name, value in (
            ("customer", reservation.customer_ref),
            ("order", reservation.order_ref),
            ("cart", reservation.cart_ref),
        )
        if value
    ]
    tell("  ".join(parts))
    kits = {line.kit_line_id: line for line in reservation.lines if line.kit_line_id}
    for line_id, line in kits.items():
        tell(f"line {line_id}: {line.quantity // line.units_per_kit} of kit {line.kit_sku}, as its components")
    rows: list[tuple[str | int, ...]] = []
    for line in reservation.lines:
        if not line.quantity:
            rows.append((line.line_id, line.sku, "(removed)", 0, 0, 0, ""))
        rows += [
            (line.line_id, line.sku, a.location, a.quantity, a.fulfilled, a.released, _rests_on(a))
            for a in line.allocations
        ]
        if line.short_quantity:
            then = f"expected by {shown(line.next_date)}" if line.HasField("next_date") else ""
            rows.append((line.line_id, line.sku, "(short)", line.short_quantity, 0, 0, then))
    columns = ("line_id", "sku", "location", "quantity", "fulfilled", "released", "rests_on")
    table(columns, rows, optional=("rests_on",))
    show_dates(reservation)
    back = [f"{line.returned} of line {line.line_id}" for line in reservation.lines if line.returned]
    if back:
        tell(f"came back: {', '.join(back)}")
    if replayed:
        say("This request was answered before; nothing was done now.")


def show_dates(reservation: Reservation) -> None:
    """Print what lines were promised, and the daily capacity that the reservation has."""
    rows: list[tuple[str | int, ...]] = []
    for line in reservation.lines:
        promise = line.promise
        for part in promise.parts if line.HasField("promise") else ():
            day, ready = shown(part.delivery_date), instant(promise.ready_time)
            by = promise.service or (f"ready {ready}" if ready else "")
            rows.append((line.line_id, line.sku, part.location, shown(part.ship_date), day, by, _confidence(promise)))
    if rows:
        table(("line_id", "sku", "location", "ship_date", "delivery_date", "service", "confidence"), rows)
    for slot in reservation.slots:
        way = word(_fulfilment_name(slot.fulfilment), "FULFILMENT_")
        count = f"{slot.units} units" if slot.units else f"{slot.orders} orders"
        tell(f"capacity: {count} on {shown(slot.date)} at {slot.location}, {way}")


def _confidence(promise: LinePromise) -> str:
    return f"{promise.confidence:.2%}" if promise.confidence else "as stated"


def _fulfilment_name(number: Fulfilment.ValueType) -> str:
    from invengine.v1.common_pb2 import Fulfilment

    return Fulfilment.Name(number)


def _rests_on(allocation: Allocation) -> str:
    """What units rest on; empty for those that are simply on hand."""
    if allocation.receipt_id:
        return f"receipt {allocation.receipt_id}, due {shown(allocation.due_date)}"
    if allocation.backordered:
        return "backorder"
    return f"ring-fence {allocation.fence_channel}: {allocation.fenced}" if allocation.fenced else ""
