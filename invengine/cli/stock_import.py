"""The command that posts a CSV file of movements: checked row by row, posted in batches, repeatable."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.movement_file import BadRow, FileUnreadable, Kind, MovementFile
from invengine.cli.render import say, show_json, table, word
from invengine.cli.session import Session, command, fail_usage

if TYPE_CHECKING:
    from invengine.client import Movement

_BATCH: Final = 4_000
_LISTED: Final = 20
_PLACE: Final = re.compile(r"movements\[(\d+)\](.*)")


def register(app: typer.Typer) -> None:
    """Add the command to the group `stock`."""
    command(app, "import", timeout_seconds=60.0, retry_seconds=30.0)(import_)


async def import_(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header line.")],
    kind: Annotated[
        Kind, typer.Option(case_sensitive=False, help="What rows are that do not say it themselves.")
    ] = Kind.COUNT,
    source: Annotated[str, typer.Option(help="Who reports it.")] = "import",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Post the good rows of a file with bad ones.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the file.")] = False,
) -> None:
    """Post a CSV file of movements, counts unless --kind says otherwise; importing it again changes nothing.

    Columns: sku, location, quantity; where wanted kind, occurred_at, reason, reference, event_id, channel, state,
    to_state. Bad rows are named with their column; then nothing is posted, unless --skip-bad is given.

    Example: invengine stock import counts.csv --kind COUNT --dry-run
    """
    movements = MovementFile(file, kind, source)
    try:
        bad = [str(entry) for _, entry in movements.rows() if isinstance(entry, BadRow)]
        good = sum(1 for _, entry in movements.rows() if not isinstance(entry, BadRow))
    except FileUnreadable as error:
        fail_usage(str(error))
    _list(bad)
    if bad and not skip_bad:
        say(f"Nothing was posted: {_count(bad, 'bad row')}. Correct them, or post the others with --skip-bad.")
        raise typer.Exit(ExitCode.USAGE)
    results: Counter[str] = Counter()
    refused: list[str] = []
    if not dry_run:
        await _post_all(session, movements, good, results, refused)
    _list(refused)
    told = {name: results[name] for name in ("APPLIED", "REPEATED", "STALE", "REFUSED")}
    if session.json:
        show_json({"rows": good + len(bad), "bad": bad, "results": told, "refused": refused})
    else:
        table(("rows", "bad", *(name.lower() for name in told)), [(good + len(bad), len(bad), *told.values())])
    if dry_run:
        say("Nothing was posted: this was a dry run.")
    if refused:
        raise typer.Exit(ExitCode.REFUSED)


async def _post_all(
    session: Session, movements: MovementFile, count: int, results: Counter[str], refused: list[str]
) -> None:
    from invengine.cli.loading.progress import shown

    rows = ((row, entry) for row, entry in movements.rows() if not isinstance(entry, BadRow))
    with shown("Rows", count) as shows:
        while batch := list(islice(rows, _BATCH)):
            await _post(session, batch, results, refused)
            shows.add(len(batch))


async def _post(session: Session, batch: list[tuple[int, Movement]], results: Counter[str], refused: list[str]) -> None:
    from invengine.client import error_from_refusal
    from invengine.errors import InvalidArgument
    from invengine.v1.stock_service_pb2 import PostMovementsResponse

    try:
        answer = await session.client.post_movements([movement for _, movement in batch])
    except InvalidArgument as error:
        place = _PLACE.fullmatch(error.field)
        if place is None:
            raise
        raise InvalidArgument(f"row {batch[int(place[1])][0]}, {place[2].lstrip('.')}", error.problem) from None
    for (row, _), outcome in zip(batch, answer.outcomes, strict=True):
        results[word(PostMovementsResponse.Outcome.Result.Name(outcome.result), "RESULT_")] += 1
        if outcome.HasField("refusal"):
            refused.append(f"row {row}: {error_from_refusal(outcome.refusal)}")


def _count(items: list[str], what: str) -> str:
    return f"{len(items)} {what}{'' if len(items) == 1 else 's'}"


def _list(problems: list[str]) -> None:
    for problem in problems[:_LISTED]:
        say(problem)
    if len(problems) > _LISTED:
        say(f"... and {len(problems) - _LISTED} more")
