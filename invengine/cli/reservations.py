"""Commands of reservations: set units aside, confirm, give back, fulfil."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.availability import Fulfilment, FulfilmentOption
from invengine.cli.confidence import share_of
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json, instant, word
from invengine.cli.reservation_options import AllowBackorder, AllowSplit, Group, NeededBy, Profile
from invengine.cli.reservation_text import (
    Delivery,
    Taking,
    added_lines_of,
    amendments_of,
    lines_of,
    rebindings_of,
    show_reservation,
    units_of,
)
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.reservation_service_pb2 import ListReservationsResponse

app = typer.Typer(
    help="Reservations: show, list, confirm, extend, release, fulfil, amend, rebind, hand over.", no_args_is_help=True
)

_PAGE = 1000

Id = Annotated[str, typer.Argument(metavar="ID", help="The reservation.")]
ExpectedRevision = Annotated[int | None, typer.Option(min=1, help="Only if it still has this revision.")]
HoldSeconds = Annotated[
    float | None, typer.Option(min=0.001, help="How long to hold, from now; default: the channel's.")
]
Units = Annotated[
    list[str] | None,
    typer.Option(
        "--line", metavar="LINE[=QUANTITY[@LOCATION]]", help="Only these units; may repeat. Default: all that are open."
    ),
]


class State(StrEnum):
    """The states of a reservation."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    FULFILLED = "FULFILLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


def register(top: typer.Typer) -> None:
    """Add `reserve` to the top of the tree."""
    command(top, "reserve")(reserve)


async def reserve(
    session: Session,
    *,
    items: Annotated[
        list[str],
        typer.Argument(metavar="SKU QUANTITY[@LOCATION]...", help="What to take; QUANTITY@LOCATION takes it there."),
    ],
    location: Annotated[str, typer.Option(help="Where lines that name no location take from.")] = "",
    group: Group = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    allow_split: AllowSplit = False,
    allow_backorder: AllowBackorder = False,
    needed_by: NeededBy = "",
    max_parcels: Annotated[
        int | None, typer.Option(min=1, help="From at most so many places, what is picked up aside.")
    ] = None,
    best_effort: Annotated[bool, typer.Option("--best-effort", help="Take what there is.")] = False,
    to: Annotated[
        str, typer.Option("--to", metavar="COUNTRY[:POSTAL_CODE]", help="Where it is shipped, as in DE:81671.")
    ] = "",
    store: Annotated[str, typer.Option(metavar="LOCATION", help="With ship-to-store: where it is collected.")] = "",
    service: Annotated[str, typer.Option(help="Ship with this service, and promise a date.")] = "",
    promise: Annotated[bool, typer.Option("--promise", help="Promise a date for every line.")] = False,
    confidence: Annotated[
        str, typer.Option(metavar="95%", help="How sure a promised date is to be, by what lanes took so far.")
    ] = "",
    profile: Profile = "",
    hold_seconds: HoldSeconds = None,
    reservation_id: Annotated[str, typer.Option(metavar="ID", help="The id to give it.")] = "",
    customer: Annotated[str, typer.Option(help="Your reference for the customer.")] = "",
    order: Annotated[str, typer.Option(help="Your reference for the order.")] = "",
    cart: Annotated[str, typer.Option(help="Your reference for the cart.")] = "",
    request_id: RequestId = "",
) -> None:
    """Set units aside until they are confirmed, given back or the time runs out.

    Example: invengine reserve LAMP 2 CHAIR 1 --channel web --hold-seconds 600
    """
    channel = session.needs_channel()
    if (service or (promise and to)) and fulfilment is FulfilmentOption.ANY:
        fulfilment = FulfilmentOption.SHIP
    taking = Taking(group, allow_split, allow_backorder, needed_by, is_dated=promise or bool(service))
    answer = await session.client.reserve(
        lines_of(items, location, fulfilment, taking, Delivery(to, store, service)),
        channel=channel,
        request_id=request_id,
        reservation_id=reservation_id,
        time_to_live_seconds=hold_seconds,
        best_effort=best_effort,
        customer_ref=customer,
        order_ref=order,
        cart_ref=cart,
        max_parcels=max_parcels or 0,
        promise_dates=promise,
        confidence=share_of(confidence) if confidence else 0.0,
        profile=profile,
    )
    if session.json:
        show_json(as_json(answer))
        return
    show_reservation(answer.reservation, answer.replayed)


@command(app, "show")
async def show(session: Session, reservation_id: Id) -> None:
    """Print one reservation as it is now.

    Example: invengine reservation show 5f0c... --channel web
    """
    answer = await session.client.get_reservation(reservation_id, channel=session.needs_channel())
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation)


@command(app, "list")
async def list_(
    session: Session,
    *,
    customer: Annotated[str, typer.Option(help="Only of this customer.")] = "",
    order: Annotated[str, typer.Option(help="Only of this order.")] = "",
    cart: Annotated[str, typer.Option(help="Only of this cart.")] = "",
    of_channel: Annotated[str, typer.Option(metavar="CHANNEL", help="Only of reservations of this channel.")] = "",
    state: Annotated[State | None, typer.Option(case_sensitive=False, help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 100,
) -> None:
    """List reservations, the newest first.

    Example: invengine reservation list --order 1001 --state confirmed
    """
    from invengine.v1.reservation_service_pb2 import Reservation

    wanted = Reservation.State.Value(f"STATE_{state.name}" if state else "STATE_UNSPECIFIED")

    async def page(token: str, size: int) -> ListReservationsResponse:
        return await session.client.list_reservations(
            customer_ref=customer,
            order_ref=order,
            cart_ref=cart,
            channel=of_channel,
            state=wanted,
            page_size=min(size, _PAGE),
            page_token=token,
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.reservations) < limit:
        following = await page(answer.next_page_token, limit - len(answer.reservations))
        answer.reservations.extend(following.reservations)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    table(
        (
            *("reservation_id", "state", "channel", "lines", "quantity", "expire_time"),
            *("customer_ref", "order_ref", "cart_ref"),
        ),
        [
            (
                r.reservation_id,
                word(Reservation.State.Name(r.state), "STATE_"),
                r.channel,
                len(r.lines),
                sum(line.quantity - line.short_quantity for line in r.lines),
                instant(r.expire_time),
                r.customer_ref,
                r.order_ref,
                r.cart_ref,
            )
            for r in answer.reservations
        ],
    )
    if answer.next_page_token:
        say("There are more: raise --limit.")


@command(app, "confirm")
async def confirm(
    session: Session,
    reservation_id: Id,
    order: Annotated[str, typer.Option(help="The order reference to record from now on.")] = "",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Make a hold binding: it does not expire any more. Any channel may.

    Example: invengine reservation confirm 5f0c... --channel till --order 1001
    """
    answer = await session.client.confirm(
        reservation_id,
        order_ref=order,
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)


@command(app, "extend")
async def extend(
    session: Session,
    reservation_id: Id,
    hold_seconds: HoldSeconds = None,
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Give a hold more time, counted from now.

    Example: invengine reservation extend 5f0c... --channel web --hold-seconds 900
    """
    answer = await session.client.extend(
        reservation_id,
        time_to_live_seconds=hold_seconds,
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)


@command(app, "release")
async def release(
    session: Session,
    reservation_id: Id,
    line: Units = None,
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Give units back: all that are open, or those of --line.

    Example: invengine reservation release 5f0c... --channel web --line 1=2
    """
    answer = await session.client.release(
        reservation_id,
        lines=units_of(line),
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)


@command(app, "fulfil")
async def fulfil(
    session: Session,
    reservation_id: Id,
    line: Units = None,
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Say that units of a confirmed reservation left their location: all that are open, or those of --line.

    Example: invengine reservation fulfil 5f0c... --channel web
    """
    answer = await session.client.fulfil(
        reservation_id,
        lines=units_of(line),
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)


@command(app, "amend")
async def amend(
    session: Session,
    reservation_id: Id,
    *,
    line: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LINE=QUANTITY[@LOCATION]",
            help="What the line is to have in all, 0 to remove it; more comes from LOCATION. May repeat.",
        ),
    ] = None,
    add: Annotated[
        list[str] | None, typer.Option(metavar="SKU=QUANTITY[@LOCATION]", help="A line to add; may repeat.")
    ] = None,
    group: Group = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    allow_split: AllowSplit = False,
    allow_backorder: AllowBackorder = False,
    needed_by: NeededBy = "",
    profile: Profile = "",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Change quantities of lines and add lines, all of it or nothing. --fulfilment is that of the added lines.

    Example: invengine reservation amend 5f0c... --channel web --line 1=3 --line 2=0 --add CHAIR=1
    """
    if not line and not add:
        fail_usage("Name what to change: --line LINE=QUANTITY or --add SKU=QUANTITY.")
    taking = Taking(group, allow_split, allow_backorder, needed_by, is_dated=True)
    answer = await session.client.amend(
        reservation_id,
        lines=amendments_of(line, taking),
        added_lines=added_lines_of(add, fulfilment, taking),
        profile=profile,
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)


@command(app, "rebind")
async def rebind(
    session: Session,
    reservation_id: Id,
    *,
    line: Annotated[
        list[str] | None,
        typer.Option(metavar="LINE[@LOCATION]", help="Only this line, to LOCATION; may repeat. Default: all lines."),
    ] = None,
    to_location: Annotated[str, typer.Option(metavar="LOCATION", help="Where lines that name no location go.")] = "",
    to_group: Annotated[str, typer.Option(metavar="GROUP", help="To the locations of this group, by priority.")] = "",
    allow_split: Annotated[bool, typer.Option("--allow-split", help="One line may go to several places.")] = False,
    allow_backorder: AllowBackorder = False,
    needed_by: NeededBy = "",
    profile: Profile = "",
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Move the open units of lines to other locations; with none named, by profile or priority.

    Example: invengine reservation rebind 5f0c... --channel web --line 1@LON1
    """
    answer = await session.client.rebind(
        reservation_id,
        lines=rebindings_of(
            line, to_location, Taking(to_group, allow_split, allow_backorder, needed_by, is_dated=True)
        ),
        profile=profile,
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)


@command(app, "hand-over")
async def hand_over(
    session: Session,
    reservation_id: Id,
    *,
    to_channel: Annotated[str, typer.Option(help="The channel that gets it.")] = "",
    to_customer: Annotated[str, typer.Option(help="Your reference for the customer who gets it.")] = "",
    hold_seconds: Annotated[
        float | None,
        typer.Option(min=0.001, help="How long to hold, from now; default: as long as it is held already."),
    ] = None,
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Give a reservation to another channel, another customer or both: same units, same id.

    Example: invengine reservation hand-over 5f0c... --channel web --to-channel till --hold-seconds 900
    """
    if not to_channel and not to_customer:
        fail_usage("Name who gets it: --to-channel or --to-customer.")
    answer = await session.client.hand_over(
        reservation_id,
        to_channel=to_channel,
        to_customer_ref=to_customer,
        time_to_live_seconds=hold_seconds,
        channel=session.needs_channel(),
        expected_revision=expected_revision,
        request_id=request_id,
    )
    show_json(as_json(answer)) if session.json else show_reservation(answer.reservation, answer.replayed)
