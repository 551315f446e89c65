"""Questions that operators ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.output import say, show_json, table
from invengine.cli.render import as_json, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1.admin_service_pb2 import ReplaySummary


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    command(app, "check", timeout_seconds=300.0)(check)
    command(app, "health", timeout_seconds=3.0, retry_seconds=0.0, has_table=False)(health)


async def health(
    session: Session,
    service: Annotated[str, typer.Option("--service", help="One service, by its full name; else the server.")] = "",
) -> None:
    """Tell whether a server serves: ends with 0 when it does, with 5 when it does not or nobody answers.

    For scripts and containers. It needs no token.

    Example: invengine health --server 127.0.0.1:50051
    """
    is_serving = await session.client.is_serving(service)
    status = "SERVING" if is_serving else "NOT_SERVING"
    if session.json:
        show_json({"status": status})
    else:
        typer.echo(status)
    if not is_serving:
        raise typer.Exit(ExitCode.UNAVAILABLE)


async def check(
    session: Session,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="List at most so many violations.")] = 100,
    replay: Annotated[bool, typer.Option("--replay", help="Replay the whole change log too, and compare.")] = False,
) -> None:
    """Verify the live store: reserved units, the log and the replica must agree. Ends with 1 when they do not.

    With --replay every change that the log still has is added up from nothing, and must come to what is stored.

    Example: invengine check --replay
    """
    answer = await session.client.check_integrity(violations_max=limit, replay=replay)
    if session.json:
        show_json(as_json(answer))
    else:
        if answer.violations:
            invariants = type(answer.violations[0]).Invariant
            table(
                ("invariant", "sku", "location", "expected", "actual", "message"),
                [
                    (
                        word(invariants.Name(v.invariant), "INVARIANT_"),
                        v.sku,
                        v.location,
                        v.expected,
                        v.actual,
                        v.message,
                    )
                    for v in answer.violations
                ],
            )
        say(
            f"{answer.positions_checked} positions and {answer.reservations_checked} live reservations checked: "
            f"{answer.violations_count or 'no'} violation{'' if answer.violations_count == 1 else 's'}."
        )
        if answer.not_judged:
            say(f"{answer.not_judged} positions, receipts or promises changed too fast to be judged.")
        if answer.HasField("replay"):
            _say_replayed(answer.replay)
    if answer.violations_count:
        raise typer.Exit(ExitCode.FAILURE)


def _say_replayed(replay: ReplaySummary) -> None:
    """How far the replay reached."""
    positions = replay.positions_covered + replay.positions_not_covered
    reservations = replay.reservations_covered + replay.reservations_not_covered
    promises = replay.promises_covered + replay.promises_not_covered
    say(
        f"{replay.entries} log entries replayed: they cover {replay.positions_covered} of {positions} positions and "
        f"{replay.reservations_covered} of {reservations} live reservations, {replay.promises_covered} of {promises} "
        "receipts, backorders, holds and broken promises."
    )
