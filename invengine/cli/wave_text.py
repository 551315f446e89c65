"""Plans of waves as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.cli.output import Rounded, table
from invengine.cli.render import instant, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.v1 import wave_pb2 as pb


def show_plan(plan: pb.WavePlan) -> None:
    """Print a plan as a whole: what it comes to, and what each channel gets in each class."""
    from invengine.v1.wave_pb2 import WavePlan

    rows: list[tuple[str, str | int]] = [
        ("plan", plan.plan_id),
        ("state", word(WavePlan.State.Name(plan.state), "STATE_")),
        ("until", instant(plan.expire_time)),
        ("orders", plan.orders),
        ("of these whole", plan.orders_whole),
        ("without anything", plan.orders_without),
        ("units wanted", plan.quantity),
        ("units planned", plan.planned_quantity),
        ("cost", money(plan.cost)),
        ("objective", money(plan.objective)),
        ("bound", money(plan.bound)),
    ]
    if plan.profile:
        rows.append(("profile", plan.profile))
    if plan.HasField("progress"):
        rows += [
            ("committed orders", plan.committed_orders),
            ("committed units", plan.committed_quantity),
            ("refused lines", plan.refused_lines),
            ("done", f"{plan.progress.done} of {plan.progress.total} orders"),
        ]
    table(("measure", "value"), [(what, str(value)) for what, value in rows])
    table(
        ("priority_class", "channel", "orders", "orders_whole", "quantity", "planned_quantity", "filled"),
        [
            (
                fill.priority_class,
                fill.channel,
                fill.orders,
                fill.orders_whole,
                fill.quantity,
                fill.planned_quantity,
                Rounded(fill.planned_quantity / fill.quantity, ".1%") if fill.quantity else "",
            )
            for fill in plan.fills
        ],
    )


def money(parts: int) -> str:
    """Ten-thousandths of a currency as an amount: 12.50."""
    sign, whole, part = "-" if parts < 0 else "", abs(parts) // 10_000, abs(parts) % 10_000
    digits = f"{part:04}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{digits}"


def _name(order: pb.WavePlanOrder) -> str:
    return order.order_id or order.reservation_id


def show_orders(orders: Iterable[pb.WavePlanOrder]) -> None:
    """Print what each line gets, and what became of its order."""
    from invengine.v1.wave_pb2 import WavePlanOrder

    table(
        ("order", "priority_class", "channel", "line_id", "sku", "quantity", "units", "outcome"),
        [
            (
                _name(order),
                order.priority_class,
                order.channel,
                line.line_id,
                line.sku,
                line.quantity,
                ", ".join(f"{part.quantity} from {part.location}" for part in line.units),
                word(WavePlanOrder.Outcome.Name(order.outcome), "OUTCOME_").replace("UNSPECIFIED", ""),
            )
            for order in orders
            for line in order.lines
        ],
    )


def show_missing(orders: Iterable[pb.WavePlanOrder]) -> None:
    """Print what lines do not get, and why."""
    from invengine.v1.wave_pb2 import WavePlanLine

    table(
        ("order", "priority_class", "channel", "line_id", "sku", "quantity", "missing_quantity", "missing"),
        [
            (
                _name(order),
                order.priority_class,
                order.channel,
                line.line_id,
                line.sku,
                line.quantity,
                line.missing_quantity,
                word(WavePlanLine.Missing.Name(line.missing), "MISSING_"),
            )
            for order in orders
            for line in order.lines
            if line.missing_quantity
        ],
    )


def show_refused(orders: Iterable[pb.WavePlanOrder]) -> None:
    """Print lines that could not be had any more when the plan was committed."""
    from invengine.v1.common_pb2 import ErrorReason

    table(
        ("order", "channel", "line_id", "sku", "wanted", "available", "reason"),
        [
            (
                _name(order),
                order.channel,
                line.line_id,
                line.sku,
                line.refusal.wanted,
                line.refusal.available,
                word(ErrorReason.Name(line.refusal.reason), "ERROR_REASON_"),
            )
            for order in orders
            for line in order.lines
            if line.HasField("refusal")
        ],
    )
