"""The command that says how large an installation must be."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from typing import Annotated, Any

import typer

from invengine.cli.output import AsCsv, AsJson, NoColor, printing, say, show_json, table


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    app.command("size")(size)


def size(
    *,
    positions: Annotated[float, typer.Option("--positions", min=1, help="SKU and location pairs with stock.")],
    rps: Annotated[float, typer.Option("--rps", min=0, help="Availability questions a second, at the peak.")] = 0,
    reservations_rate: Annotated[
        float, typer.Option("--reservations-rate", min=0, help="Reservations a second, at the peak.")
    ] = 0,
    movements_rate: Annotated[
        float, typer.Option("--movements-rate", min=0, help="Movements of stock a second, at the peak.")
    ] = 0,
    mean_share: Annotated[
        float, typer.Option("--mean-share", min=0, max=1, help="The mean of days as a share of the peak.")
    ] = 0.25,
    live_hours: Annotated[float, typer.Option("--live-hours", min=0, help="How long a reservation stays live.")] = 24,
    retention_hours: Annotated[
        float, typer.Option("--retention-hours", min=1, help="How long closed ones and requests are remembered.")
    ] = 168,
    log_entries: Annotated[
        float, typer.Option("--log-entries", min=1, help="Entries of the change log kept per partition.")
    ] = 10_000,
    node_gb: Annotated[float, typer.Option("--node-gb", min=1, help="Memory of a machine for Redis, GB.")] = 64,
    batched: Annotated[
        bool, typer.Option("--batched", help="Callers send reservations and movements a hundred a call.")
    ] = False,
    json: AsJson = False,
    csv: AsCsv = False,
    no_color: NoColor = False,
) -> None:
    """Compute memory, masters, servers, network and disk from measured constants, line by line. Needs no server.

    Example: invengine size --positions 1000000 --rps 5000 --reservations-rate 200
    """
    from invengine.domain.sizing import Demand
    from invengine.domain.sizing import size as compute

    demand = Demand(
        positions=positions,
        questions=rps,
        reservations=reservations_rate,
        movements=movements_rate,
        mean_share=mean_share,
        live_hours=live_hours,
        retention_hours=retention_hours,
        log_entries=log_entries,
        batched=batched,
        node_bytes=node_gb * 1e9,
    )
    sizing = compute(demand)
    with printing(json=json, csv=csv, no_color=no_color):
        _print(demand, sizing, json)


def _print(demand: Any, sizing: Any, json: bool) -> None:
    from invengine.domain.measured import MACHINE, MEASURED

    if json:
        steps = [asdict(step) | {"value": step.value if isfinite(step.value) else None} for step in sizing.steps]
        constants = {name: {"value": MEASURED[name][0], "unit": MEASURED[name][1]} for name in sizing.constants}
        show_json({"demand": asdict(demand), "steps": steps, "constants": constants, "measured_on": MACHINE})
        return
    table(
        ("of", "figure", "value", "unit", "computed_as"),
        [(step.section, step.name, _number(step.value), step.unit, step.computation) for step in sizing.steps],
    )
    say(f"Constants measured on {MACHINE}; `python -m benchmarks.constants --write` measures them where you run it.")
    if not all(isfinite(step.value) for step in sizing.steps):
        say("One process cannot follow so many changes: this demand is beyond what servers with all positions do.")


def _number(value: float) -> str:
    if not isfinite(value):
        return "too many"
    return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"
