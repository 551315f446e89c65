"""The question that the engine is for: what is available, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.days import shown
from invengine.cli.output import Cell, fail_usage, is_csv, say, show_json, table
from invengine.cli.render import as_json, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1 import availability_service_pb2, common_pb2


class FulfilmentOption(StrEnum):
    """How the customer gets the units."""

    ANY = "any"
    SHIP = "ship"
    PICKUP = "pickup"
    SHIP_TO_STORE = "ship-to-store"

    def to_proto(self) -> common_pb2.Fulfilment.ValueType:
        """The value of the wire."""
        from invengine.v1 import common_pb2

        if self is FulfilmentOption.ANY:
            return common_pb2.FULFILMENT_UNSPECIFIED
        return common_pb2.Fulfilment.Value("FULFILMENT_" + self.name)


Fulfilment = Annotated[
    FulfilmentOption, typer.Option("--fulfilment", help="Only locations that can do this.", case_sensitive=False)
]
Fresh = Annotated[
    str,
    typer.Option(
        "--fresh",
        metavar="latest|TOKEN",
        help="'latest': every write acknowledged so far; a consistency token: at least that write. Default: fastest.",
    ),
]


def consistency_of(fresh: str) -> common_pb2.Consistency | None:
    """The freshness that `--fresh` asks for."""
    from invengine.v1 import common_pb2

    if not fresh:
        return None
    if fresh == "latest":
        return common_pb2.Consistency(fully_consistent=True)
    return common_pb2.Consistency(at_least_as_fresh=fresh)


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "availability")(availability)


async def availability(
    session: Session,
    *,
    skus: Annotated[list[str], typer.Argument(metavar="SKU...", help="One SKU, or several for a table of totals.")],
    location: Annotated[list[str] | None, typer.Option("--location", help="Only this location; may repeat.")] = None,
    group: Annotated[str, typer.Option(help="Only the locations of this group.")] = "",
    fulfilment: Fulfilment = FulfilmentOption.ANY,
    ignore_reservation: Annotated[
        str, typer.Option(metavar="ID", help="Units of this live reservation count as free (one SKU only).")
    ] = "",
    fresh: Fresh = "",
) -> None:
    """Say how many units a channel can take now, and where they are.

    Example: invengine availability LAMP --channel web
    """
    channel = session.needs_channel()
    if len(skus) == 1:
        one = await session.client.get_availability(
            skus[0],
            channel=channel,
            locations=location or (),
            group=group,
            fulfilment=fulfilment.to_proto(),
            ignore_reservation_id=ignore_reservation,
            consistency=consistency_of(fresh),
        )
        show_json(as_json(one)) if session.json else _show_positions(one)
        return
    if ignore_reservation:
        fail_usage("--ignore-reservation goes with one SKU.")
    many = await session.client.batch_get_availability(
        skus,
        channel=channel,
        locations=location or (),
        group=group,
        fulfilment=fulfilment.to_proto(),
        consistency=consistency_of(fresh),
    )
    show_json(as_json(many)) if session.json else _show_columns(skus, many)


def _show_positions(answer: availability_service_pb2.GetAvailabilityResponse) -> None:
    from invengine.v1 import availability_service_pb2

    def reasons(position: availability_service_pb2.PositionAvailability) -> str:
        names = (availability_service_pb2.AvailabilityReason.Name(reason) for reason in position.reasons)
        return ", ".join(word(name, "AVAILABILITY_REASON_") for name in names)

    def level(of: availability_service_pb2.Level.ValueType) -> str:
        return word(availability_service_pb2.Level.Name(of), "LEVEL_")

    is_kit = bool(answer.components)
    of_stock = () if is_kit and not is_csv() else ("reserved", "safety_stock")
    rare = ("uncertain", "fenced", "own_fence")
    numbers = ("on_hand", *of_stock, *rare)
    rows: list[tuple[Cell, ...]] = [
        (
            p.location,
            p.available,
            *(getattr(p, name) for name in numbers),
            level(p.level),
            p.limiting_component,
            reasons(p),
        )
        for p in answer.positions
    ]
    if not is_csv():  # where programs add up for themselves
        sums = [sum(getattr(p, name) for p in answer.positions) for name in numbers]
        rows.append(("total", answer.available, *sums, level(answer.level), "", ""))
    table(("location", "available", *numbers, "level", "limited_by", "reasons"), rows, optional=(*rare, "limited_by"))
    if is_kit:
        parts = [
            f"{component.units} {component.sku} ({component.available} available)" for component in answer.components
        ]
        say(f"A kit of {', '.join(parts)}.")
    if answer.HasField("next_receipt"):
        say(f"Expected next: {answer.next_receipt.quantity} on {shown(answer.next_receipt.date)}.")
    if answer.HasField("next_date"):
        say(f"More can be promised from {shown(answer.next_date)} on.")


def _show_columns(skus: list[str], answer: availability_service_pb2.BatchGetAvailabilityResponse) -> None:
    from invengine.v1 import availability_service_pb2

    rows: list[tuple[Cell, ...]] = []
    first = 0
    columns = zip(skus, answer.status, answer.available, answer.level, answer.row_counts, strict=True)
    for sku, status, available, level, count in columns:
        places = sorted(
            (answer.locations[answer.location_index[row]], answer.location_available[row])
            for row in range(first, first + count)
        )
        first += count
        name = availability_service_pb2.AvailabilityStatus.Name(status)
        where = ", ".join(f"{location} {units}" for location, units in places if units)
        level_name = availability_service_pb2.Level.Name(level)
        rows.append((sku, available, word(level_name, "LEVEL_"), word(name, "AVAILABILITY_STATUS_"), where))
    table(("sku", "available", "level", "status", "locations"), rows)
