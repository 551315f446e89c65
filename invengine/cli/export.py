"""Commands that write everything into files: all positions, the whole ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from invengine.cli.availability import Fresh, consistency_of
from invengine.cli.exits import ExitCode
from invengine.cli.file_faults import problem_of
from invengine.cli.output import fail_usage, say, show_json
from invengine.cli.row_files import STDOUT, Kind, ParquetMissing, Rows, check_parquet, milliseconds, written
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from invengine.v1 import stock_service_pb2 as pb

ledger = typer.Typer(help="The ledger of all SKUs.", no_args_is_help=True)

POSITION_COLUMNS: Final = (
    ("sku", Kind.TEXT),
    ("location", Kind.TEXT),
    ("on_hand", Kind.WHOLE),
    ("reserved", Kind.WHOLE),
    ("safety_stock", Kind.WHOLE),
    ("ring_fenced", Kind.WHOLE),
    ("shortfall", Kind.WHOLE),
    ("backordered", Kind.WHOLE),
    ("expected", Kind.WHOLE),
    ("revision", Kind.WHOLE),
    ("unsellable", Kind.WHOLE),
)
LEDGER_COLUMNS: Final = (
    ("record_time", Kind.INSTANT),
    ("occurred_at", Kind.INSTANT),
    ("sku", Kind.TEXT),
    ("location", Kind.TEXT),
    ("kind", Kind.TEXT),
    ("actor", Kind.TEXT),
    ("cause", Kind.TEXT),
    ("reason", Kind.TEXT),
    ("reference", Kind.TEXT),
    ("on_hand_before", Kind.WHOLE),
    ("on_hand_after", Kind.WHOLE),
    ("reserved_before", Kind.WHOLE),
    ("reserved_after", Kind.WHOLE),
    ("revision", Kind.WHOLE),
    ("place", Kind.WHOLE),
    ("states", Kind.TEXT),
)


class FileFormat(StrEnum):
    """How a file is written."""

    CSV = "csv"
    PARQUET = "parquet"


File = Annotated[str, typer.Argument(metavar="FILE", help="Where to; '-' for stdout, which gets CSV.")]
Format = Annotated[
    FileFormat | None,
    typer.Option("--format", help="Default: by the end of the file's name, .parquet or anything else for CSV."),
]
SkuPrefix = Annotated[str, typer.Option("--sku-prefix", help="Only SKUs that begin with this.")]
Location = Annotated[str, typer.Option("--location", help="Only at this location.")]


def register(stock: typer.Typer) -> None:
    """Add the command to the group `stock`."""
    command(stock, "export", timeout_seconds=60.0, has_table=False)(positions)


async def positions(
    session: Session,
    file: File,
    *,
    format: Format = None,
    sku_prefix: SkuPrefix = "",
    location: Location = "",
    fresh: Fresh = "",
) -> None:
    """Write all positions into a file, as they are now: CSV, or Parquet. A file that is there is replaced.

    Example: invengine stock export stock.csv
    """
    count = 0
    with _open(session, file, format, POSITION_COLUMNS) as rows:
        async for page in session.client.position_pages(
            sku_prefix=sku_prefix, location=location, consistency=consistency_of(fresh)
        ):
            for position in page.positions:
                rows.write(_position_row(position))
            count += len(page.positions)
    if session.json:
        show_json({"file": file, "positions": count})
    else:
        say(f"{count} positions written{_where(file)}.")


@command(ledger, "export", timeout_seconds=60.0, has_table=False)
async def history(
    session: Session,
    file: File,
    *,
    format: Format = None,
    after_token: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Where the export before this one ended: it goes on from there, and notes its own end there. "
            "The first time there is no such file, and all that the log has is written.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="With --after-token: replace FILE where it exists.")] = False,
    sku_prefix: SkuPrefix = "",
    location: Location = "",
) -> None:
    """Write the ledger of all SKUs into a file, oldest first within each partition of the store: CSV, or Parquet.

    Every change up to the moment of the call is in it, none after. An export is known by SKU, revision and place:
    when one was cut short and made again, these say what is there already.

    Example: invengine ledger export changes-1.csv --after-token last-export
    """
    token = _token_in(after_token)
    if after_token and not overwrite:
        _refuse_existing(file)
    count, reached, gaps = 0, token, list[str]()
    with _open(session, file, format, LEDGER_COLUMNS) as rows:
        async for part in session.client.movement_pages(after_token=token, sku_prefix=sku_prefix, location=location):
            for entry in part.entries:
                rows.write(ledger_row(entry))
            count += len(part.entries)
            reached = part.consistency_token
            gaps += [
                f"partition {gap.partition}: revisions {gap.after_revision + 1} to {gap.next_revision - 1}"
                for gap in part.gaps
            ]
    if after_token:
        _note(after_token, reached)
    if session.json:
        show_json({"file": file, "entries": count, "consistencyToken": reached, "trimmed": gaps})
    else:
        say(f"{count} changes written{_where(file)}.")
    if gaps:
        _tell_trimmed(gaps, is_continued=bool(token))


def ledger_row(entry: pb.LedgerEntry) -> tuple[int | str, ...]:
    """An entry in the order of LEDGER_COLUMNS."""
    return (
        milliseconds(entry.record_time),
        milliseconds(entry.occurred_at),
        entry.sku,
        entry.location,
        entry.kind,
        entry.actor,
        entry.cause,
        entry.reason,
        entry.reference,
        entry.on_hand_before,
        entry.on_hand_after,
        entry.reserved_before,
        entry.reserved_after,
        entry.revision,
        entry.place,
        states_text(entry),
    )


def states_text(entry: pb.LedgerEntry) -> str:
    """What a change did to units that cannot be sold: `quarantine 0 -> 5, damaged 2 -> 1`."""
    return ", ".join(f"{one.state} {one.before} -> {one.after}" for one in entry.states)


def _position_row(position: pb.Position) -> tuple[int | str, ...]:
    return (
        position.sku,
        position.location,
        position.on_hand,
        position.reserved,
        position.safety_stock,
        sum(fence.quantity for fence in position.ring_fences),
        position.shortfall,
        position.backordered,
        sum(receipt.quantity for receipt in position.incoming),
        position.revision,
        sum(one.quantity for one in position.states),
    )


@contextmanager
def _open(
    session: Session, file: str, file_format: FileFormat | None, columns: tuple[tuple[str, Kind], ...]
) -> Iterator[Rows]:
    """The file to write rows to; the end of the command where it cannot be written."""
    as_parquet = (file_format or _format_of(file)) is FileFormat.PARQUET
    if file == STDOUT and (as_parquet or session.json):
        fail_usage("stdout gets CSV and nothing else: name a file.")
    try:
        if as_parquet:
            check_parquet()
        with written(file, columns, as_parquet=as_parquet) as rows:
            yield rows
    except ParquetMissing as missing:
        fail_usage(str(missing))
    except OSError as fault:
        _fail_to_write(file, fault)


def _format_of(file: str) -> FileFormat:
    return FileFormat.PARQUET if file.endswith(".parquet") else FileFormat.CSV


def _where(file: str) -> str:
    return "" if file == STDOUT else f" to {file}"


def _refuse_existing(file: str) -> None:
    """An export that goes on must not take the place of the one before it."""
    if file != STDOUT and Path(file).exists():
        fail_usage(f"{file} exists, and what is written has only what is new: name another file, or --overwrite.")


def _token_in(path: Path | None) -> str:
    """The token in a file, empty where there is no such file."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as fault:
        fail_usage(f"{path} cannot be read: {problem_of(fault)}")


def _note(path: Path, token: str) -> None:
    """Puts the token into the file in one step."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(token + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as fault:
        part.unlink(missing_ok=True)
        _fail_to_write(str(path), fault)


def _fail_to_write(file: str, fault: OSError) -> NoReturn:
    say(f"{file} cannot be written: {problem_of(fault)}")
    raise typer.Exit(ExitCode.FAILURE)


def _tell_trimmed(gaps: list[str], *, is_continued: bool) -> None:
    """What the log has no longer; after an earlier export that is a failure, else it is where the ledger begins."""
    if not is_continued:
        say("The log was trimmed: the ledger begins later. What it has no longer:")
    else:
        say("Changes are missing: the log was trimmed before this export. Export more often, or keep a longer log.")
    for gap in gaps[:20]:
        say(f"  {gap}")
    if len(gaps) > 20:
        say(f"  and {len(gaps) - 20} more")
    if is_continued:
        raise typer.Exit(ExitCode.FAILURE)
