"""Commands of stock: movements in, positions, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli import stock_import
from invengine.cli.availability import Fresh, consistency_of
from invengine.cli.incoming import show_receipts
from invengine.cli.movement_file import Kind, moment
from invengine.cli.render import as_json, instant, say, show_json, table, word
from invengine.cli.session import RequestId, Session, command, fail, fail_usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.cli.render import Cell
    from invengine.v1.stock_service_pb2 import LedgerEntry, StateQuantity

app = typer.Typer(help="Stock movements in, positions, history.", no_args_is_help=True)

_PAGE = 1000
_STATES_COLUMN = 7  # of a history

State = Annotated[
    str, typer.Option(help="Of units that cannot be sold: quarantine, damaged or another; default: units on hand.")
]
ToState = Annotated[str, typer.Option(help="Where a STATE_CHANGE takes them: on_hand, a state, or gone.")]

stock_import.register(app)


@command(app, "post", arguments_may_start_with_dash=True)
async def post(
    session: Session,
    *,
    kind: Annotated[Kind, typer.Argument(case_sensitive=False, help="What happened.")],
    sku: Annotated[str, typer.Argument()],
    location: Annotated[str, typer.Argument()],
    quantity: Annotated[int, typer.Argument(help="Whole units; negative for an adjustment or a ring-fence only.")],
    reason: Annotated[str, typer.Option(help="Why; an adjustment needs it.")] = "",
    reference: Annotated[str, typer.Option(help="The document behind it.")] = "",
    source: Annotated[str, typer.Option(help="Who reports it.")] = "cli",
    event_id: Annotated[str, typer.Option(help="The source's own id: sent again, it changes nothing.")] = "",
    occurred_at: Annotated[str, typer.Option(metavar="ISO-8601", help="When it happened; default: now.")] = "",
    state: State = "",
    to_state: ToState = "",
    expected_revision: Annotated[
        int | None, typer.Option(min=0, help="Only if the position still has this revision; 0: if there is none yet.")
    ] = None,
    request_id: RequestId = "",
) -> None:
    """Record one stock movement. --channel says whose a sale is, and whose ring-fence grows or (negative) shrinks.

    Example: invengine stock post ADJUSTMENT LAMP AMS1 -3 --reason damaged
    """
    from invengine.client import Movement, error_from_refusal
    from invengine.v1.stock_service_pb2 import PostMovementsResponse

    try:
        happened = moment(occurred_at)
    except ValueError:
        fail_usage(f"--occurred-at: {occurred_at!r} is not an instant such as 2026-01-31T09:30:00Z")
    movement = Movement(
        source=source,
        event_id=event_id,
        occurred_at=happened,
        kind=Movement.Kind.Value("KIND_" + kind.name),
        sku=sku,
        location=location,
        quantity=quantity,
        reason=reason,
        reference=reference,
        expected_revision=expected_revision,
        channel=_channel_of(kind, session),
        state=state,
        to_state=to_state,
    )
    answer = await session.client.post_movements([movement], request_id=request_id)
    outcome = answer.outcomes[0]
    results = PostMovementsResponse.Outcome
    if session.json:
        show_json(as_json(answer))
    elif outcome.result in (results.RESULT_APPLIED, results.RESULT_REPEATED):
        result = word(results.Result.Name(outcome.result), "RESULT_")
        table(
            ("result", "sku", "location", "on_hand", "reserved", "revision"),
            [(result, sku, location, outcome.on_hand, outcome.reserved, outcome.revision)],
        )
        _show_states(outcome.states)
    if outcome.result in (results.RESULT_STALE, results.RESULT_REFUSED):
        fail(error_from_refusal(outcome.refusal), session.json)


def _channel_of(kind: Kind, session: Session) -> str:
    """Whose movement it is; the channel of the environment is not meant for kinds that are nobody's."""
    if kind is Kind.RING_FENCE:
        return session.needs_channel()
    return session.channel if kind.is_of_a_channel else ""


@command(app, "show")
async def show(
    session: Session,
    sku: Annotated[str, typer.Argument()],
    location: Annotated[str, typer.Argument()],
    fresh: Fresh = "",
) -> None:
    """Print one position.

    Example: invengine stock show LAMP AMS1
    """
    answer = await session.client.get_position(sku, location, consistency=consistency_of(fresh))
    if session.json:
        show_json(as_json(answer))
        return
    p = answer.position
    table(
        ("sku", "location", "on_hand", "reserved", "safety_stock", "shortfall", "backordered", "revision"),
        [(p.sku, p.location, p.on_hand, p.reserved, p.safety_stock, p.shortfall, p.backordered, p.revision)],
    )
    if p.ring_fences:
        typer.echo()
        table(("ring_fence", "quantity"), [(fence.channel, fence.quantity) for fence in p.ring_fences])
    _show_states(p.states)
    if p.incoming:
        typer.echo()
        show_receipts(p.incoming)


def _show_states(states: Sequence[StateQuantity]) -> None:
    """Print what is there and cannot be sold."""
    if states:
        typer.echo()
        table(("state", "quantity"), [(one.state, one.quantity) for one in states])


@command(app, "history")
async def history(
    session: Session,
    sku: Annotated[str, typer.Argument()],
    location: Annotated[str, typer.Option(help="Only of this location.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, help="At most so many entries.")] = 100,
) -> None:
    """Print what changed a SKU, newest first: who, when, why, before and after.

    Example: invengine stock history LAMP --location AMS1
    """
    answer = await session.client.list_movements(sku, location=location, page_size=min(most, _PAGE))
    while answer.next_page_token and len(answer.entries) < most:
        page = await session.client.list_movements(
            sku,
            location=location,
            page_size=min(most - len(answer.entries), _PAGE),
            page_token=answer.next_page_token,
        )
        answer.entries.extend(page.entries)
        answer.next_page_token = page.next_page_token
    if session.json:
        show_json(as_json(answer))
        return
    _show_history(answer.entries)
    if answer.next_page_token:
        say("There is more: raise --most.")


def _show_history(entries: Sequence[LedgerEntry]) -> None:
    """Print entries of the ledger; a column of states only where there are any."""
    columns = ["recorded", "location", "what", "who", "cause", "on_hand", "reserved", "why", "revision"]
    rows: list[list[Cell]] = [
        [
            instant(entry.record_time),
            entry.location,
            entry.kind,
            entry.actor,
            entry.cause,
            f"{entry.on_hand_before} -> {entry.on_hand_after}",
            f"{entry.reserved_before} -> {entry.reserved_after}",
            " ".join(part for part in (entry.reason, entry.reference) if part),
            entry.revision,
        ]
        for entry in entries
    ]
    if any(entry.states for entry in entries):
        columns.insert(_STATES_COLUMN, "states")
        for row, entry in zip(rows, entries, strict=True):
            row.insert(_STATES_COLUMN, ", ".join(f"{one.state} {one.before} -> {one.after}" for one in entry.states))
    table(columns, rows)
