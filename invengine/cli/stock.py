"""Commands of stock: movements in, positions, history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli import stock_import
from invengine.cli.availability import Fresh, consistency_of
from invengine.cli.incoming import show_receipts
from invengine.cli.movement_file import Kind, moment
from invengine.cli.output import fail_usage, show_json, table, tell
from invengine.cli.render import as_json, word
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.v1.stock_service_pb2 import StateQuantity

app = typer.Typer(help="Stock movements in, positions, history.", no_args_is_help=True)

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
        raise error_from_refusal(outcome.refusal)


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
        tell()
        table(("ring_fence", "quantity"), [(fence.channel, fence.quantity) for fence in p.ring_fences])
    _show_states(p.states)
    if p.incoming:
        tell()
        show_receipts(p.incoming)


def _show_states(states: Sequence[StateQuantity]) -> None:
    """Print what is there and cannot be sold."""
    if states:
        tell()
        table(("state", "quantity"), [(one.state, one.quantity) for one in states])
