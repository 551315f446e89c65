"""Why is on-hand 47? The ledger of a SKU as people read it, with a closing line that adds up."""

from __future__ import annotations

import sys
import zoneinfo
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from invengine.cli.export import LEDGER_COLUMNS, ledger_row, states_text
from invengine.cli.movement_file import moment
from invengine.cli.output import fail_usage, is_csv, say, show_json, table, tell
from invengine.cli.render import as_json
from invengine.cli.row_files import CsvRows, milliseconds
from invengine.cli.session import Session, command

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from invengine.v1 import stock_service_pb2 as pb

_PAGE: Final = 1000
_COLUMNS: Final = (
    "record_time",
    "number",
    "location",
    "kind",
    "actor",
    "cause",
    "on_hand",
    "change",
    "reserved",
    "states",
    "reason",
    "reference",
)
_HELP: Final = """Print what changed a SKU, oldest first: when, who, what, why, before and after; at the end the sum.

    Instants are local ones of the location. Of more than --limit changes the newest are printed. CSV has
    the columns of `ledger export`.

    Example: invengine {words} LAMP AMS1 --since 2026-11-01
    """

Sku = Annotated[str, typer.Argument()]
Place = Annotated[str, typer.Argument(metavar="[LOCATION]", help="Only of this location.")]
Since = Annotated[
    str,
    typer.Option(metavar="ISO-8601", help="Only what was recorded at this instant or later; UTC unless it says so."),
]
Until = Annotated[str, typer.Option(metavar="ISO-8601", help="Only what was recorded before this instant.")]
Kinds = Annotated[
    list[str] | None,
    typer.Option("--kind", help="Only this kind, such as RECEIPT, SALE, COUNT, RESERVE, FULFIL; may repeat."),
]
Actor = Annotated[str, typer.Option(help="Only of this source or channel.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many changes.")]
Utc = Annotated[bool, typer.Option("--utc", help="Instants in UTC.")]


class _Shown(NamedTuple):
    """What of a ledger is shown: without some changes, up to some moment, instants in UTC."""

    is_filtered: bool
    has_end: bool
    in_utc: bool


def register(app: typer.Typer, stock: typer.Typer) -> None:
    """Add the command to the top of the tree, and to the group of stock."""
    command(app, "history")(_history("history"))
    command(stock, "history")(_history("stock history"))


def _history(words: str) -> Callable[..., Coroutine[Any, Any, None]]:
    async def history(
        session: Session,
        sku: Sku,
        location: Place = "",
        *,
        since: Since = "",
        until: Until = "",
        kind: Kinds = None,
        actor: Actor = "",
        limit: Limit = 100,
        utc: Utc = False,
    ) -> None:
        kinds = [word.upper().replace("-", "_") for word in kind or ()]
        answer = await _read(
            session,
            sku,
            limit,
            location=location,
            since=_instant("--since", since),
            until=_instant("--until", until),
            kinds=kinds,
            actor=actor,
        )
        if session.json:
            show_json(as_json(answer))
        elif is_csv():
            rows = CsvRows(sys.stdout, LEDGER_COLUMNS)
            for entry in reversed(answer.entries):
                rows.write(ledger_row(entry))
        else:
            await _show(session, answer, sku, location, _Shown(bool(kinds or actor), bool(until), utc))

    history.__doc__ = _HELP.format(words=words)
    return history


async def _read(session: Session, sku: str, limit: int, **which: Any) -> pb.ListMovementsResponse:
    """The newest `limit` changes, newest first; with a next_page_token where there are more."""
    answer = await session.client.list_movements(sku, page_size=min(limit, _PAGE), **which)
    while answer.next_page_token and len(answer.entries) < limit:
        page = await session.client.list_movements(
            sku, page_size=min(limit - len(answer.entries), _PAGE), page_token=answer.next_page_token, **which
        )
        answer.entries.extend(page.entries)
        answer.next_page_token = page.next_page_token
        for name, zone in page.time_zones.items():
            answer.time_zones[name] = zone
    return answer


async def _show(
    session: Session,
    answer: pb.ListMovementsResponse,
    sku: str,
    location: str,
    shown: _Shown,
) -> None:
    entries = list(reversed(answer.entries))
    zones = {name: UTC if shown.in_utc else zoneinfo.ZoneInfo(zone) for name, zone in answer.time_zones.items()}
    if entries:
        rows = [_row(entry, zones.get(entry.location, UTC)) for entry in entries]
        table(_COLUMNS, rows, optional=("states",))  # of units that cannot be sold: where some moved
        tell()
        for place in dict.fromkeys(entry.location for entry in entries):
            tell(_closing([entry for entry in entries if entry.location == place], shown))
    else:
        await _show_none(session, answer, sku, location)
    if answer.next_page_token:
        say("There is more before that: raise --limit.")
    elif entries and answer.start.revision > 1:
        begin = local(answer.start.record_time, UTC)
        say(f"The ledger begins at revision {answer.start.revision} ({begin}): older changes were trimmed.")


async def _show_none(session: Session, answer: pb.ListMovementsResponse, sku: str, location: str) -> None:
    """Nothing changed, or it is forgotten: then the number stands since before the ledger begins."""
    say(f"No change of {sku}{f' at {location}' if location else ''} is in the ledger.")
    if answer.start.revision > 1:
        begin = local(answer.start.record_time, UTC)
        say(f"The ledger begins at revision {answer.start.revision} ({begin}): older changes were trimmed.")
    if location:
        found = await session.client.get_position(sku, location)
        tell(f"{location}: {found.position.on_hand} on hand")


def _row(entry: pb.LedgerEntry, zone: tzinfo) -> tuple[str | int, ...]:
    change = entry.on_hand_after - entry.on_hand_before
    return (
        local(entry.record_time, zone),
        f"{entry.revision}.{entry.place}" if entry.place > 1 else str(entry.revision),
        entry.location,
        entry.kind,
        entry.actor,
        entry.cause,
        f"{entry.on_hand_before} -> {entry.on_hand_after}",
        f"{change:+}" if change else "",
        f"{entry.reserved_before} -> {entry.reserved_after}",
        states_text(entry),
        entry.reason,
        entry.reference,
    )


def _closing(entries: Sequence[pb.LedgerEntry], shown: _Shown) -> str:
    """`AMS1: 40 + 7 in 3 changes = 47 on hand`: of one location, the oldest first."""
    opening, closing = entries[0].on_hand_before, entries[-1].on_hand_after
    change = sum(entry.on_hand_after - entry.on_hand_before for entry in entries)
    count = f"{len(entries)} {'change' if len(entries) == 1 else 'changes'}"
    line = f"{entries[0].location}: {opening} {_signed(change)} in {count}"
    if shown.is_filtered:
        line += f" {_signed(closing - opening - change)} in others between them"
    is_newest = not (shown.is_filtered or shown.has_end)
    return f"{line} = {closing} on hand{'' if is_newest else ' after the last of them'}"


def _signed(units: int) -> str:
    return f"- {-units}" if units < 0 else f"+ {units}"


def local(instant: Timestamp, zone: tzinfo) -> str:
    """An instant in a time zone, to the second, with its offset."""
    return datetime.fromtimestamp(milliseconds(instant) // 1000, zone).isoformat(sep=" ")


def _instant(option: str, text: str) -> Timestamp | None:
    try:
        return moment(text)
    except ValueError:
        fail_usage(f"{option}: {text!r} is not an instant such as 2026-01-31T09:30:00Z or 2026-01-31")
