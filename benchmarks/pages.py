"""The pages that the benchmarks write: the table of the README, and every figure in docs/performance.md."""

from __future__ import annotations

import ast
import datetime
import platform
from pathlib import Path
from typing import Final

from benchmarks.figures import Figure

HERE: Final = Path(__file__).parent
README: Final = HERE.parent / "README.md"
PERFORMANCE: Final = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"

HEADLINES: Final = (
    "unary GetAvailability / empty gRPC handler",
    "stream of small availability queries / unary",
    "positions of 1,000 SKUs / PostgreSQL",
    "totals of 1,000 SKUs / PostgreSQL",
    "totals of 1,000 SKUs by handle / PostgreSQL",
    "batch of totals by handle over gRPC / bare kernel",
    "durable reservations / PostgreSQL, one call each",
    "hot SKU sold out: PostgreSQL / engine, batches",
    "reservations: store call / no-op function call",
    "sourcing one basket: HiGHS / kernel",
    "wave of 10,000 orders: value of the plan / proved bound",
    "wave of 200 orders: HiGHS MIP / kernel, seconds",
    "baskets dated by the kernel, a core",
    "server memory per position at 1M",
    "Redis memory per position at 1M",
    "p50 at 1M / at 10k positions, over gRPC",
    "p50 at 1M / at 10k positions, service call alone",
    "start at 1M positions: SERVING / Redis reading its own data",
    "durable movements / PostgreSQL, one row each",
    "durable movements / PostgreSQL, 1,000 rows a call",
)
"""The figures of the README, in its order; docs/performance.md has all."""

REASONS: Final[dict[str, str]] = {
    "unary GetAvailability / empty gRPC handler": (
        "the engine's own part is 5 us of a call of 180 us; the rest is what gRPC takes for a larger question and "
        "answer than the empty handler's, and for what is counted of each call"
    ),
    "stream of small availability queries / unary": (
        "a message costs 35 us, of which 24 are those of a stream that does nothing; twenty queries in a message "
        "reach 44 times the unary calls"
    ),
    "stream of small availability queries / empty stream": (
        "3.5 us of the engine's own; the rest is what gRPC takes for messages that are not empty"
    ),
    "positions of 1,000 SKUs / PostgreSQL": (
        "0.14 ms of a call of 0.65 ms is the engine's own part; gRPC, which carries 20 kB of names and answer, and"
        " the Python client on the same two cores take the rest"
    ),
    "totals of 1,000 SKUs by handle / PostgreSQL": (
        "0.09 ms of a call of 0.42 ms is the engine's own part; what handles save there, the Python client and "
        "gRPC hardly show"
    ),
    "batch of totals by handle over gRPC / bare kernel": (
        "the kernel takes 64 us for the 1,000 SKUs and the engine 90 us with all else; a gRPC call of such a size "
        "takes 300 us more. Larger batches come nearer"
    ),
    "durable reservations / PostgreSQL, one call each": (
        "27 us each: Redis's one thread is busy for all of them, 21 us in Lua and its commands and 6 us with the "
        "log on disk; server and client take 15 us on the other core. PostgreSQL takes 182 us of processor time, "
        "on both cores. More masters take more: a Cluster spreads partitions"
    ),
    "hot SKU sold out: PostgreSQL / engine, batches": (
        "batches of 32 that wait for each other: 66 us a unit, of which Redis is busy for 47, half of that with a "
        "write to disk for every 32 units"
    ),
    "durable movements / PostgreSQL, one row each": (
        "33 us each, of which Redis's one thread takes 25: each movement is an event that is remembered, a row of "
        "the ledger and a change that others follow; the peer's row is overwritten"
    ),
    "durable movements / PostgreSQL, 1,000 rows a call": (
        "as above: a ledger and the memory of events against rows that are overwritten in bulk, on both cores"
    ),
    "GetPromise / empty gRPC handler": (
        "1.9 ms of Python for 3 lines, 20 locations and 4 services; the kernel has 27 ns for each date of it. Many"
        " SKUs for one destination in one call are some 80 times as fast for each"
    ),
    "opportunity cost: gap to hindsight saved, 40 locations": (
        "three seeds of one made world; it comes to 0.39 to 0.41"
    ),
    "unary GetAvailability: 2 workers / 1 worker": (
        "h2load and whatever else the machine does have the same two cores, which one worker leaves to them and "
        "two do not; what a call costs is the figure beside it"
    ),
}
"""What keeps a figure from its goal, by its name: told beside it where it is not reached."""


def question_of(script: str) -> str:
    """The first line of a script: what it asks."""
    told = ast.get_docstring(ast.parse((HERE / f"{script}.py").read_text(encoding="utf-8"))) or ""
    return told.partition("\n")[0]


def table(figures: list[Figure]) -> str:
    """Figures as a Markdown table; a goal that is not reached has the reason beside it."""
    rows = ["| Figure | Measured | Goal | How |", "|---|---|---|---|"]
    for figure in figures:
        sign = "≥" if figure.better == "higher" else "≤"
        how = figure.setup
        if not figure.reached:
            how += f". **Goal not reached:** {REASONS.get(figure.name, 'the reason is not known yet')}"
        measured = f"{figure.value:.3g} {figure.unit}".strip()
        rows.append(f"| {figure.name} | {measured} | {sign} {figure.goal:g} | {how} |")
    return "\n".join(rows)


def measured_on() -> str:
    """Where and when: the last line below the figures."""
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    return f"Measured on {platform.machine()}, Python {platform.python_version()}, {day}; written by `make bench`."


def headlines(figures: list[Figure]) -> str:
    """The README's part."""
    by_name = {figure.name: figure for figure in figures}
    return f"{table([by_name[name] for name in HEADLINES if name in by_name])}\n\n{measured_on()}"


def everything(figures: list[Figure]) -> str:
    """The figures of each script under its question."""
    scripts = list(dict.fromkeys(figure.script for figure in figures))
    parts = []
    for script in scripts:
        own = [figure for figure in figures if figure.script == script]
        parts.append(f"### {question_of(script)}\n\n`python -m benchmarks {script}`\n\n{table(own)}")
    return "\n\n".join([*parts, measured_on()])


def write_between(page: Path, text: str) -> None:
    """Put a text between the markers of a page."""
    head, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{page.name} lacks the markers {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n{text}\n{END}{tail}", encoding="utf-8")


def write(figures: list[Figure]) -> None:
    """Write both pages."""
    write_between(README, headlines(figures))
    write_between(PERFORMANCE, everything(figures))
