"""The commands of feeds: a CSV file is checked row by row and streamed in bounded memory; how far feeds are."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.file_faults import problem_of
from invengine.cli.movement_file import IGNORED, BadRow, FileUnreadable, Kind, MovementFile
from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json, instant, word
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.client import FeedAck, Movement
    from invengine.v1.stock_service_pb2 import Feed

LISTED: Final = 20
"""Problems that are said one by one."""

TOLD: Final = 1_000
"""Problems that --json lists; beyond, they are counted."""

PAGE: Final = 1_000

feeds = typer.Typer(help="Feeds of movements that have a name.", no_args_is_help=True)
_RESULTS: Final = ("APPLIED", "REPEATED", "STALE", "REFUSED")


def register(app: typer.Typer) -> None:
    """Add the command to the group `stock`."""
    command(app, "import", timeout_seconds=60.0, retry_seconds=30.0)(import_)


async def import_(
    session: Session,
    *,
    file: Annotated[Path, typer.Argument(help="CSV in UTF-8 with a header line, plain or gzip; - reads stdin.")],
    kind: Annotated[
        Kind, typer.Option(case_sensitive=False, help="What rows are that do not say it themselves.")
    ] = Kind.COUNT,
    source: Annotated[str, typer.Option(help="Who reports it.")] = "import",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Post the good rows of a file with bad ones.")] = False,
    rejects: Annotated[
        Path | None, typer.Option(help="Write rows that are bad or refused to this CSV file, with what is wrong.")
    ] = None,
    feed: Annotated[str, typer.Option(help="Name of the feed: the file goes on after its last acknowledged row.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only read and check the file.")] = False,
) -> None:
    """Post a CSV file of movements, counts unless --kind says otherwise; importing it again changes nothing.

    Columns: sku, location, quantity; where wanted kind, occurred_at, reason, reference, event_id, channel, state,
    to_state. Bad rows are named with their column; then nothing is posted, unless --skip-bad is given. Rows that the
    engine refuses are named too. With --feed a run that was interrupted goes on where it was.

    Example: invengine stock import counts.csv.gz --feed counts-2026-11 --skip-bad --rejects rejects.csv
    """
    if rejects is not None and rejects.exists() and file.exists() and rejects.samefile(file):
        fail_usage("--rejects: would write over the file that is read.")
    with MovementFile(file, kind, source) as movements, ExitStack() as stack:
        tally = _Tally(stack.enter_context(_Rejects(rejects)) if rejects else None)
        was = await session.client.feed_position(feed) if feed and not dry_run else None
        try:
            _check(movements, tally, was)
        except FileUnreadable as error:
            fail_usage(str(error))
        _list(tally.bad, tally.bad_rows)
        if tally.bad_rows and not skip_bad:
            said = f"{tally.bad_rows} bad row{'' if tally.bad_rows == 1 else 's'}"
            say(f"Nothing was posted: {said}. Correct them, or post the others with --skip-bad.")
            raise typer.Exit(ExitCode.USAGE)
        if not dry_run:
            await _post(session, movements, tally, feed)
    _list(tally.refused, sum(tally.reasons.values()))
    _report(session, tally)
    if dry_run:
        say("Nothing was posted: this was a dry run.")
    if tally.reasons:
        raise typer.Exit(ExitCode.REFUSED)


@command(feeds, "list")
async def list_(session: Session) -> None:
    """Print the feeds that have a name: how far each is, by its own numbers, and the last movement up to there.

    Example: invengine feed list
    """
    answer = await session.client.list_feeds(page_size=PAGE)
    while answer.next_page_token:
        page = await session.client.list_feeds(page_size=PAGE, page_token=answer.next_page_token)
        answer.feeds.extend(page.feeds)
        answer.next_page_token = page.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    columns = ("feed", "position", "source", "event_id", "acknowledge_time")
    table(
        columns,
        [(f.feed, f.position, f.source, f.event_id, instant(f.acknowledge_time)) for f in answer.feeds],
    )


class _Rejects:
    """A CSV file of rows that were not taken: their columns as they were, their number, what is wrong."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def __enter__(self) -> _Rejects:
        try:
            self._file = self._path.open("w", encoding="utf-8", newline="")
        except OSError as error:
            fail_usage(f"--rejects {self._path}: {problem_of(error)}")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, columns: list[str], row: int, values: list[str], problem: str) -> None:
        """One row; the header goes before the first."""
        kept = [place for place, column in enumerate(columns) if column not in IGNORED]
        if self._writer is None:
            self._writer = csv.writer(self._file)
            self._writer.writerow([*(columns[place] for place in kept), *IGNORED])
        cells = [values[place] if place < len(values) else "" for place in kept]
        self._writer.writerow([*cells, row, problem])


@dataclass
class _Tally:
    """What became of the rows; of problems the first ones in words."""

    rejects: _Rejects | None
    good_rows: int = 0
    bad_rows: int = 0
    earlier_rows: int = 0
    """Acknowledged by an earlier run of the feed."""
    bad: list[str] = field(default_factory=list)
    results: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)

    def add_bad(self, columns: list[str], row: int, values: list[str], problem: str) -> None:
        """A row that cannot be posted."""
        self.bad_rows += 1
        _keep(self.bad, problem)
        if self.rejects is not None:
            self.rejects.add(columns, row, values, problem)

    def add_refused(self, reason: str, row: int, problem: str) -> None:
        """A row that the engine did not take."""
        self.reasons[reason] += 1
        _keep(self.refused, f"row {row}: {problem}")


def _keep(problems: list[str], problem: str) -> None:
    if len(problems) < TOLD:
        problems.append(problem)


def _check(movements: MovementFile, tally: _Tally, was: Feed | None) -> None:
    """Reads the whole file once, and makes sure that a feed that is under way is this file."""
    is_known = was is None or was.position == 0
    for row, values, entry in movements.rows():
        if isinstance(entry, BadRow):
            tally.add_bad(movements.columns, row, values, str(entry))
            continue
        tally.good_rows += 1
        if was is not None and row <= was.position:
            tally.earlier_rows += 1
            is_known = is_known or (row, entry.source, entry.event_id) == (was.position, was.source, was.event_id)
    if not is_known and was is not None:
        fail_usage(
            f"The feed {was.feed!r} was at row {was.position} of another file (event {was.event_id!r}): "
            "give this file a feed of its own."
        )


async def _post(session: Session, movements: MovementFile, tally: _Tally, feed: str) -> None:
    from invengine.cli.loading.progress import shown

    cells: dict[int, list[str]] = {}  # of rows under way, as far as they may have to be written to the rejects

    def rows() -> Iterator[tuple[int, Movement]]:
        for row, values, entry in movements.rows():
            if not isinstance(entry, BadRow):
                if tally.rejects is not None:
                    cells[row] = values
                yield row, entry

    posted = 0
    try:
        with shown("Rows", tally.good_rows - tally.earlier_rows) as shows:
            patience = session.client.timeout_seconds
            async for ack in session.client.feed(rows(), name=feed, patience_seconds=patience):
                _note(ack, movements, tally, cells)
                posted += len(ack.items)
                shows.add(len(ack.items))
    except asyncio.CancelledError:
        say(f"{posted} rows were acknowledged. The same command again goes on, and does nothing twice.")
        raise


def _note(ack: FeedAck, movements: MovementFile, tally: _Tally, cells: dict[int, list[str]]) -> None:
    from invengine.client import error_from_refusal
    from invengine.v1.common_pb2 import ErrorReason
    from invengine.v1.stock_service_pb2 import PostMovementsResponse

    for (row, _), outcome in zip(ack.items, ack.outcomes, strict=True):
        tally.results[word(PostMovementsResponse.Outcome.Result.Name(outcome.result), "RESULT_")] += 1
        values = cells.pop(row, [])
        if outcome.HasField("refusal"):
            problem = str(error_from_refusal(outcome.refusal))
            tally.add_refused(word(ErrorReason.Name(outcome.refusal.reason), "ERROR_REASON_"), row, problem)
            if tally.rejects is not None:
                tally.rejects.add(movements.columns, row, values, problem)


def _report(session: Session, tally: _Tally) -> None:
    rows = tally.good_rows + tally.bad_rows
    told = {name: tally.results[name] for name in _RESULTS}
    if session.json:
        show_json(
            {
                "rows": rows,
                "badRows": tally.bad_rows,
                "bad": tally.bad,
                "earlierRows": tally.earlier_rows,
                "results": told,
                "reasons": dict(sorted(tally.reasons.items())),
                "refused": tally.refused,
            }
        )
        return
    earlier = {"earlier": tally.earlier_rows} if tally.earlier_rows else {}
    counts = {"rows": rows, "bad": tally.bad_rows, **earlier, **{name.lower(): told[name] for name in _RESULTS}}
    table(tuple(counts), [tuple(counts.values())])
    if tally.reasons:
        table(("reason", "rows"), sorted(tally.reasons.items()))


def _list(problems: list[str], count: int) -> None:
    for problem in problems[:LISTED]:
        say(problem)
    if count > LISTED:
        say(f"... and {count - LISTED} more")
