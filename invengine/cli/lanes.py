"""Commands of lanes: what is learnt of their transit times, and what of past deliveries it is learnt from."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli import lanes_report
from invengine.cli.days import day_of, shown
from invengine.cli.deliveries import Deliveries, DeliveriesFile, NetworkFile, SkipBad, network_of
from invengine.cli.exits import ExitCode
from invengine.cli.output import fail_usage, say, show_json, table, tell
from invengine.cli.render import as_json, word
from invengine.cli.session import RequestId, Session, command
from invengine.domain.transit import STRENGTH
from invengine.domain.transit_basis import TransitBasis

if TYPE_CHECKING:
    from invengine.v1.network_service_pb2 import ApplyTransitTimesResponse, ListTransitLanesResponse, TransitLane

app = typer.Typer(help="Lanes: transit times, learnt from past deliveries.", no_args_is_help=True)

PAGE: Final = 1_000
LISTED: Final = 20
"""Changes that are said one by one."""

Confidences = Annotated[
    list[float] | None,
    typer.Option(
        "--confidence",
        help="At this confidence, such as 0.95; may be given more than once.",
        show_default="0.8, 0.9, 0.95, 0.99",
    ),
]
Basis = Annotated[
    TransitBasis,
    typer.Option(
        help="What a confidence is about: each promise, or all of a service together, which makes shorter ones."
    ),
]
Strength = Annotated[int, typer.Option(min=0, max=10_000, help="Deliveries that a wider level counts as.")]
ExpectedRevision = Annotated[
    int | None,
    typer.Option(min=0, help="Only if the transit times still have this revision; 0: if there are none yet."),
]

lanes_report.register(app)


@command(app, "learn", timeout_seconds=60.0)
async def learn(
    session: Session,
    *,
    file: DeliveriesFile,
    skip_bad: SkipBad = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only read the file and say what it would change.")
    ] = False,
    basis: Basis = TransitBasis.EACH,
    strength: Strength = STRENGTH,
    as_of: Annotated[
        str, typer.Option(metavar="DAY", help="What was known at the end of this day; default: the newest of the file.")
    ] = "",
    expected_revision: ExpectedRevision = None,
    network: NetworkFile = None,
    request_id: RequestId = "",
) -> None:
    """Learn transit times from past deliveries and put them in force on every server, in place of those before.

    Columns: order_id, location, country, postal_code, service, ordered, shipped, delivered (empty while under way);
    others are passed over. Bad rows are named with their column; then nothing is learnt, unless --skip-bad is given.

    Example: invengine lane learn deliveries-2026.csv.gz --dry-run
    """
    from invengine.domain import transit_learning
    from invengine.domain.days import day_number
    from invengine.domain.transit_document import write_document

    as_of_day = day_number(_day_of(as_of)) if as_of else None
    read = Deliveries(file, await network_of(session, network))
    learnt = transit_learning.learn(read.parcels(), read.carrier_days, as_of_day)
    read.check(skip_bad=skip_bad)
    if not learnt.lanes:
        fail_usage(f"{file}: there is no delivery to learn from.")
    answer = await session.client.apply_transit_times(
        write_document(learnt.lanes, learnt.period, strength=strength, basis=basis),
        validate_only=dry_run,
        expected_revision=expected_revision,
        request_id=request_id,
    )
    counts = {
        "rows": read.rows,
        "bad": read.bad_rows,
        "deliveries": sum(seen.deliveries for seen in learnt.lanes.values()),
        "under_way": sum(seen.open_parcels for seen in learnt.lanes.values()),
        "lanes": len(learnt.lanes),
    }
    if session.json:
        show_json({**counts, "badRows": read.bad, **as_json(answer)})
        return
    table(tuple(counts), [tuple(counts.values())])
    if answer.changes:
        tell()
    _say_changes(answer, dry_run=dry_run)


@command(app, "forget")
async def forget(
    session: Session,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would change.")] = False,
    expected_revision: ExpectedRevision = None,
    request_id: RequestId = "",
) -> None:
    """Forget what was learnt: the stated transit of every lane holds again.

    Example: invengine lane forget --dry-run
    """
    from invengine.domain.transit_document import write_document

    answer = await session.client.apply_transit_times(
        write_document({}, None),
        validate_only=dry_run,
        expected_revision=expected_revision,
        request_id=request_id,
    )
    if session.json:
        show_json(as_json(answer))
    else:
        _say_changes(answer, dry_run=dry_run)


@command(app, "list")
async def list_(
    session: Session,
    *,
    location: Annotated[str, typer.Option(help="Only from this location.")] = "",
    zone: Annotated[str, typer.Option(help="Only to this zone.")] = "",
    service: Annotated[str, typer.Option(help="Only with this service.")] = "",
    confidence: Confidences = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1_000,
) -> None:
    """List lanes with the days that they need: the stated ones, and those learnt at some confidences.

    Example: invengine lane list --zone de-south --confidence 0.95
    """

    async def page(token: str, size: int) -> ListTransitLanesResponse:
        return await session.client.list_transit_lanes(
            location=location,
            zone=zone,
            service=service,
            confidences=confidence or (),
            page_size=min(size, PAGE),
            page_token=token,
        )

    answer = await page("", limit)
    while answer.next_page_token and len(answer.lanes) < limit:
        following = await page(answer.next_page_token, limit - len(answer.lanes))
        answer.lanes.extend(following.lanes)
        answer.next_page_token = following.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    asked = confidence or lanes_report.USUAL_CONFIDENCES
    table(
        (
            "location",
            "zone",
            "service",
            "deliveries",
            "under_way",
            "stated_days",
            *(f"days_at_{one:g}" for one in asked),
            "longest_days",
        ),
        [
            (
                lane.location,
                lane.zone,
                lane.service,
                lane.deliveries,
                lane.under_way,
                lane.stated_days if lane.HasField("stated_days") else "",
                *_days_of(lane, len(asked)),
                lane.longest_days if lane.HasField("longest_days") else "",
            )
            for lane in answer.lanes
        ],
    )
    if answer.next_page_token:
        say("There are more: raise --limit.")


@command(app, "show")
async def show(
    session: Session,
    location: Annotated[str, typer.Argument()],
    zone: Annotated[str, typer.Argument()],
    service: Annotated[str, typer.Argument()],
    confidence: Confidences = None,
) -> None:
    """Print what is known of a lane: its days at some confidences, what they rest on, and the whole distribution.

    Example: invengine lane show DC-EAST de-south standard
    """
    answer = await session.client.list_transit_lanes(
        location=location, zone=zone, service=service, confidences=confidence or (), with_distribution=True
    )
    times = await session.client.get_transit_times()
    if not answer.lanes:
        say(f"No lane leads from {location} to {zone} with {service}, and none was learnt of.")
        raise typer.Exit(ExitCode.NOT_FOUND)
    (lane,) = answer.lanes
    if session.json:
        show_json(as_json(lane))
        return
    if lane.HasField("stated_days"):
        say(f"The network states {lane.stated_days} carrier working days.")
    if not lane.days:
        say("Nothing was learnt of this service: the stated transit holds.")
        return
    if times.HasField("shipped_since"):
        since, until = shown(times.shipped_since), shown(times.shipped_until)
        say(f"Learnt from what was shipped from {since} to {until}, as of {shown(times.as_of)}.")
    levels = type(lane.days[0]).Level
    table(
        ("confidence", "days", "probability", "level", "deliveries", "longest_days"),
        [
            (
                lanes_report.percent(one.confidence),
                one.days,
                lanes_report.percent(one.probability),
                word(levels.Name(one.level), "LEVEL_").lower(),
                one.deliveries,
                one.longest_days,
            )
            for one in lane.days
        ],
    )
    tell()
    table(
        ("days", "deliveries", "under_way", "probability"),
        [
            (point.days, point.deliveries, point.under_way, lanes_report.percent(point.probability))
            for point in lane.distribution
        ],
    )


def _days_of(lane: TransitLane, asked: int) -> list[int | str]:
    """One cell for each confidence; empty where nothing was learnt."""
    return [*(one.days for one in lane.days)] or [""] * asked


def _day_of(text: str) -> date:
    return day_of(text, "--as-of")


def _say_changes(answer: ApplyTransitTimesResponse, *, dry_run: bool) -> None:
    if answer.changes:
        kinds = type(answer.changes[0]).Kind
        table(
            ("change", "path", "before", "after"),
            [
                (word(kinds.Name(change.kind), "KIND_").lower(), change.path, change.before, change.after)
                for change in answer.changes[:LISTED]
            ],
        )
    if len(answer.changes) > LISTED:
        say(f"... and {len(answer.changes) - LISTED} more: --json lists them.")
    done = "would change" if dry_run else "changed"
    say(f"{len(answer.changes) or 'Nothing'} {done}; revision {answer.revision} is in force.")
