"""The commands about waves: plan who gets scarce units, look at the plan, carry it out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.output import fail_usage, is_csv, say, show_json
from invengine.cli.render import as_json, word
from invengine.cli.session import RequestId, Session, command
from invengine.cli.wave_text import show_missing, show_orders, show_plan, show_refused

if TYPE_CHECKING:
    from invengine.v1 import wave_pb2 as pb

app = typer.Typer(help="Share scarce units out among many orders: plan, show, commit.", no_args_is_help=True)

_PAGE: Final = 1000
_PLAN_SECONDS: Final = 600.0

PlanId = Annotated[str, typer.Argument(metavar="PLAN", help="The plan's id, as `wave plan` prints it.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many orders.")]


@command(app, "plan", timeout_seconds=_PLAN_SECONDS)
async def plan(
    session: Session,
    *,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="Orders, CSV with a row for each line or JSON; - for stdin.")
    ] = "",
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Also lines of reservations that wait, backordered or for a receipt.")
    ] = False,
    waiting_sku: Annotated[
        list[str] | None, typer.Option("--waiting-sku", metavar="SKU", help="Of these, only of this SKU; may repeat.")
    ] = None,
    waiting_channel: Annotated[
        str, typer.Option("--waiting-channel", metavar="CHANNEL", help="Of these, only of this channel.")
    ] = "",
    waiting_group: Annotated[
        str, typer.Option("--waiting-group", metavar="GROUP", help="Of these, only where they wait in this group.")
    ] = "",
    waiting_class: Annotated[int, typer.Option("--waiting-class", min=0, max=99, help="Their priority class.")] = 0,
    stay: Annotated[bool, typer.Option("--stay", help="They get units only from where they wait.")] = False,
    fair: Annotated[
        bool, typer.Option("--fair", help="Within a class everybody gets the same part of what they want.")
    ] = False,
    share: Annotated[
        list[str] | None,
        typer.Option("--share", metavar="CHANNEL[:SKU]=30%", help="What a channel gets at least, or =20; may repeat."),
    ] = None,
    profile: Annotated[str, typer.Option(help="The sourcing profile that costs go by: NAME or NAME@VERSION.")] = "",
    group: Annotated[str, typer.Option(help="Only stock of this location group.")] = "",
    keep_seconds: Annotated[
        int, typer.Option("--keep-seconds", min=1, max=86_400, help="How long it can be committed.")
    ] = 3600,
    limit: Limit = 20,
    request_id: RequestId = "",
) -> None:
    """Plan which orders get which units, of what is free now. Nothing is taken.

    Example: invengine wave plan orders.csv --channel web --share stores=20%
    """
    from invengine.cli.wave_file import WaveFileFault, read_orders
    from invengine.client.wave_calls import WaitingLines

    waits = waiting or bool(waiting_sku or waiting_channel or waiting_group)
    if not file and not waits:
        fail_usage("Name a FILE of orders, or --waiting, or both.")
    try:
        orders = read_orders(file, session.channel) if file else []
    except WaveFileFault as fault:
        fail_usage(str(fault))
    lines = WaitingLines(
        skus=waiting_sku or (),
        channel=waiting_channel,
        group=waiting_group,
        all=waiting,
        priority_class=waiting_class,
        same_location_only=stay,
    )
    made: pb.WavePlan | None = None
    answers = session.client.plan_wave(
        orders,
        waiting=lines if waits else None,
        fair=fair,
        minimum_shares=[_share(text) for text in share or ()],
        profile=profile,
        group=group,
        keep_seconds=keep_seconds,
        request_id=request_id,
    )
    with _ProgressLine() as shows:
        async for answer in answers:
            if answer.HasField("progress"):
                shows.show(answer.progress)
            else:
                made = answer.plan
    assert made is not None
    if session.json:
        show_json(as_json(made))
        return
    show_plan(made)
    if made.quantity > made.planned_quantity:
        from invengine.v1.wave_pb2 import GetPlanRequest

        short, has_more = await _orders(session, made.plan_id, GetPlanRequest.SHOW_SHORT, limit)
        say(f"Of {made.orders - made.orders_whole} orders something is missing:")
        show_missing(short)
        if has_more:
            say(f"There are more: invengine wave show {made.plan_id} --short --limit {10 * limit}")
    say(f"Carry it out: invengine wave commit {made.plan_id}")


@command(app, "show", timeout_seconds=60.0)
async def show(
    session: Session,
    *,
    plan_id: PlanId,
    short: Annotated[bool, typer.Option("--short", help="Only orders that do not get everything.")] = False,
    refused: Annotated[bool, typer.Option("--refused", help="Only orders with lines that were refused.")] = False,
    limit: Limit = 100,
) -> None:
    """Show a plan: who gets what from where, what is missing and why, and how far its commit is.

    Example: invengine wave show 3f9a0c55d1b24e7788aa01cd --short
    """
    from invengine.v1.wave_pb2 import GetPlanRequest

    if short and refused:
        fail_usage("--short and --refused do not go together")
    which = GetPlanRequest.SHOW_REFUSED if refused else GetPlanRequest.SHOW_SHORT if short else GetPlanRequest.SHOW_ALL
    answer = await session.client.get_plan(plan_id, show=GetPlanRequest.SHOW_NONE)
    orders, has_more = await _orders(session, plan_id, which, limit)
    if session.json:
        show_json({"plan": as_json(answer.plan), "orders": [as_json(order) for order in orders], "more": has_more})
        return
    if not is_csv():  # its table is that of the orders
        show_plan(answer.plan)
    if refused:
        show_refused(orders)
    elif short:
        show_missing(orders)
    else:
        show_orders(orders)
    if has_more:
        say("There are more: raise --limit.")


@command(app, "commit", timeout_seconds=_PLAN_SECONDS)
async def commit(
    session: Session,
    *,
    plan_id: PlanId,
    hold_seconds: Annotated[
        int | None, typer.Option("--hold-seconds", min=1, help="Hold orders for so long instead of confirming them.")
    ] = None,
    request_id: RequestId = "",
) -> None:
    """Carry a plan out. Sent again it goes on where it stopped, or says what it did. Lines refused: it ends with 4.

    Example: invengine wave commit 3f9a0c55d1b24e7788aa01cd
    """
    import asyncio

    call = asyncio.create_task(
        session.client.commit_plan(
            plan_id,
            held=hold_seconds is not None,
            time_to_live_seconds=hold_seconds or 0,
            request_id=request_id,
        )
    )
    with _ProgressLine() as shows:
        try:
            while not (await asyncio.wait((call,), timeout=0.5))[0] and shows.is_shown:
                from invengine.v1.wave_pb2 import GetPlanRequest

                seen = await session.client.get_plan(plan_id, show=GetPlanRequest.SHOW_NONE)
                shows.show(seen.plan.progress)
            answer = await call
        finally:
            call.cancel()
    if session.json:
        show_json(as_json(answer))
    else:
        show_plan(answer.plan)
        if answer.refused_orders:
            say(f"{answer.plan.refused_lines} lines could not be had any more:")
            show_refused(answer.refused_orders)
        if answer.replayed:
            say("This plan was committed before; nothing was done now.")
    if answer.refused_orders:
        raise typer.Exit(ExitCode.REFUSED)


class _ProgressLine:
    """A line on a terminal that says how far something is; nothing elsewhere."""

    def __init__(self) -> None:
        self.is_shown = sys.stderr.isatty()

    def __enter__(self) -> _ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_shown:
            typer.echo("\r\x1b[K", nl=False, err=True)

    def show(self, progress: pb.PlanProgress) -> None:
        """How far it is now."""
        if self.is_shown:
            from invengine.v1.wave_pb2 import PlanProgress

            stage = word(PlanProgress.Stage.Name(progress.stage), "STAGE_").lower()
            of = f" of {progress.total:,}" if progress.total else ""
            typer.echo(f"\r\x1b[K{stage}: {progress.done:,}{of}", nl=False, err=True)


async def _orders(
    session: Session, plan_id: str, show: pb.GetPlanRequest.Show.ValueType, limit: int
) -> tuple[list[pb.WavePlanOrder], bool]:
    """Orders of a plan, and whether there are more."""
    found: list[pb.WavePlanOrder] = []
    token = ""
    while len(found) < limit:
        answer = await session.client.get_plan(
            plan_id, show=show, page_size=min(limit - len(found), _PAGE), page_token=token
        )
        found += answer.orders
        token = answer.next_page_token
        if not token:
            break
    return found, bool(token)


def _share(text: str) -> Any:
    """CHANNEL[:SKU]=30% or =20."""
    from invengine.client.wave_calls import MinimumShare

    who, equals, much = text.rpartition("=")
    channel, _, sku = who.partition(":")
    number = much.removesuffix("%")
    if not equals or not channel or not (number.isascii() and number.isdigit()):
        fail_usage(f"--share: {text!r} is not CHANNEL=30%, CHANNEL:SKU=30% or CHANNEL:SKU=20")
    if much.endswith("%"):
        return MinimumShare(channel=channel, sku=sku, percent=int(number))
    return MinimumShare(channel=channel, sku=sku, units=int(number))
