"""Runs the benchmarks, each in its own process: `python -m benchmarks [NAME ...] [--full]`.

Writes one JSON line per figure to benchmarks/results.jsonl and the table of them into README.md.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import platform
import subprocess
import sys
from pathlib import Path

from benchmarks.figures import RESULTS, Figure

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"
NOT_QUESTIONS = {"__init__", "__main__", "figures", "h2load", "empty_server", "engine", "memory_replica"}
NOT_QUESTIONS |= {"feeding", "postgres", "processes", "reserving", "reserving_parts", "watch_load", "delivery_network"}
NOT_QUESTIONS |= {"online_hindsight", "online_sources", "online_world"}


def names() -> list[str]:
    """Every script that answers a question."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_QUESTIONS)


def run_here(name: str, quick: bool) -> None:
    """Run one script in this process and append its figures to the file given by the runner."""
    module = importlib.import_module(f"benchmarks.{name}")
    for figure in module.run(quick=quick):
        print("FIGURE " + figure.to_json(), flush=True)


def run_apart(name: str, quick: bool) -> list[Figure]:
    """Run one script in its own process; its figures."""
    print(f"{name}", flush=True)
    command = [sys.executable, "-m", "benchmarks", "--here", name] + ([] if quick else ["--full"])
    figures = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("FIGURE "):
                figures.append(Figure(**json.loads(line.removeprefix("FIGURE "))))
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"benchmark {name} failed with {process.returncode}")
    return figures


def table(figures: list[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = ["| Figure | Measured | Goal | Setup |", "|---|---|---|---|"]
    for figure in figures:
        sign = "≥" if figure.better == "higher" else "≤"
        reached = "" if figure.reached else " (not reached)"
        rows.append(
            f"| {figure.name} | {figure.value:.3g} {figure.unit}{reached} | {sign} {figure.goal:g} | {figure.setup} |"
        )
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    machine = f"{platform.machine()}, Python {platform.python_version()}, {day}; written by `make bench`"
    return "\n".join([*rows, "", f"Measured on {machine}."])


def write_readme(figures: list[Figure]) -> None:
    """Put the table between the README's markers."""
    text = README.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md lacks the markers {BEGIN} and {END}")
    README.write_text(f"{head}{BEGIN}\n{table(figures)}\n{END}{tail}", encoding="utf-8")


def main() -> None:
    """Run the named benchmarks, or all; figures of the others stay as they were."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *names()], help="which; all when none is named")
    parser.add_argument("--full", action="store_true", help="more rounds and larger stores")
    parser.add_argument("--here", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        run_here(arguments.here, quick=not arguments.full)
        return
    chosen = arguments.names or names()
    known = [Figure(**json.loads(line)) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    measured: list[Figure] = []
    for name in chosen:
        measured += run_apart(name, quick=not arguments.full)
    fresh = {figure.name for figure in measured}
    figures = measured if not arguments.names else [f for f in known if f.name not in fresh] + measured
    RESULTS.write_text("".join(figure.to_json() + "\n" for figure in figures), encoding="utf-8")
    write_readme(figures)
    print(table(figures))


if __name__ == "__main__":
    main()
