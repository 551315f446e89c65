"""Pictures of reports as PNG files, drawn without a screen. Needs matplotlib, which is optional."""

from __future__ import annotations

import os
from math import cos, radians
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from invengine.domain.distance import Position
    from invengine.domain.transit_report import Row
    from invengine.v1.whatif_pb2 import WhatIfResult


class Place(NamedTuple):
    """A location on the map: units that a plan takes there, and whether the next best plan uses it."""

    name: str
    position: Position
    units: int
    is_next: bool


class PlotMissing(Exception):
    """Pictures cannot be drawn here; the message says what to install."""


def check_plot() -> None:
    """Checks that pictures can be drawn here, before anything is read. PlotMissing."""
    _figure()


def plot_transit(path: Path, rows: Sequence[Row], longest: Row | None, stated: Row | None) -> None:
    """Left: the share of promises kept by confidence, beside the confidence itself and the share that whole days make
    of it. Right: the days promised for it, beside the longest transit seen and the stated one. `rows` are those of all
    deliveries together, by confidence. PlotMissing, OSError.
    """
    figure = _figure()(figsize=(11, 4.8), layout="constrained")
    kept, days = figure.subplots(1, 2)
    confidences = [row.confidence_parts / 100 for row in rows]
    kept.plot(confidences, confidences, linestyle="--", color="0.6", label="asked for")
    kept.plot(confidences, [100 * row.expected_share for row in rows], marker="s", label="expected, in whole days")
    kept.plot(confidences, [100 * row.kept_share for row in rows], marker="o", label="kept")
    kept.set(xlabel="confidence, %", ylabel="promises, %", title=f"Promises kept of {rows[0].deliveries} held back")
    kept.legend(loc="upper left")
    days.plot(confidences, [row.days for row in rows], marker="o", label="promised")
    for row, name, style in ((longest, "longest seen", ":"), (stated, "stated", "--")):
        if row is not None:
            days.axhline(row.days, linestyle=style, color="0.4", label=f"{name}: {100 * row.kept_share:.1f} % kept")
    days.set(xlabel="confidence, %", ylabel="carrier working days, mean", title="What the promise costs in days")
    days.set_ylim(bottom=0)
    days.legend(loc="lower right")
    _save(figure, path)


def plot_what_if(path: Path, names: Sequence[str], results: Sequence[WhatIfResult]) -> None:
    """Bars of each profile side by side: parcels, costs by term on top of each other, the share of units that could be
    had. PlotMissing, OSError.
    """
    figure = _figure()(figsize=(11, 4.4), layout="constrained")
    parcels, costs, units = figure.subplots(1, 3)
    places = range(len(names))
    parcels.bar(places, [result.parcels for result in results], color="C0")
    parcels.set(title="parcels")
    below = [0.0] * len(results)
    terms = [field.name for field in type(results[0].costs).DESCRIPTOR.fields if field.name != "total"]
    for term in terms:
        amounts = [getattr(result.costs, term) for result in results]
        heights = [amount.units + amount.nanos / 1e9 for amount in amounts]
        if any(heights):
            costs.bar(places, heights, bottom=below, label=term)
            below = [low + height for low, height in zip(below, heights, strict=True)]
    costs.set(title=f"cost, {results[0].costs.total.currency_code}".rstrip(", "))
    if any(below):
        costs.legend()
    units.bar(places, [100 * (1 - one.unfilled_units / one.units) if one.units else 100.0 for one in results])
    units.set(title="units filled, %", ylim=(0, 105))
    for axes in (parcels, costs, units):
        axes.set_xticks(places, names)
    _save(figure, path)


def plot_plan(path: Path, places: Sequence[Place], end: Position | None) -> None:
    """A map: all locations, those that the plan takes units from with lines to where these go, and those of the next
    plan. Degrees are drawn so that ways near the middle of the map have their true angles. PlotMissing, OSError.
    """
    figure = _figure()(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    for place in places:
        if place.units and end is not None:
            axes.plot(
                (place.position.longitude, end.longitude), (place.position.latitude, end.latitude), color="C0", zorder=1
            )
    kinds = (
        ("not used", "0.7", "o", [place for place in places if not place.units and not place.is_next]),
        ("runner-up", "C1", "s", [place for place in places if place.is_next and not place.units]),
        ("plan", "C0", "o", [place for place in places if place.units]),
    )
    for label, color, marker, members in kinds:
        if members:
            east, north = zip(*[(place.position.longitude, place.position.latitude) for place in members], strict=True)
            axes.scatter(east, north, color=color, marker=marker, label=label, zorder=2)
    for place in places:
        if place.units or place.is_next:
            text = f"{place.name}: {place.units}" if place.units else place.name
            axes.annotate(text, (place.position.longitude, place.position.latitude), (4, 4), textcoords="offset points")
    if end is not None:
        axes.scatter([end.longitude], [end.latitude], color="C3", marker="*", s=160, label="destination", zorder=3)
    points = [place.position for place in places] + ([] if end is None else [end])
    middle = (min(point.latitude for point in points) + max(point.latitude for point in points)) / 2
    axes.set(
        xlabel="longitude", ylabel="latitude", title="Where the basket comes from", aspect=1 / cos(radians(middle))
    )
    axes.legend()
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    """Writes the picture whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        figure.savefig(part, format="png", dpi=120)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _figure() -> Any:
    """The class of figures. One made by itself, without pyplot, is drawn by Agg into files and opens no window."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotMissing("A plot needs matplotlib: pip install 'invengine[plot]'. Tables need nothing.") from None

    def figure(**size: Any) -> Any:
        made = Figure(**size)
        FigureCanvasAgg(made)
        return made

    return figure
