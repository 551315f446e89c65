"""Runs the benchmarks, each in its own process: `python -m benchmarks [NAME ...] [--full]`.

Writes one JSON line per figure to benchmarks/results.jsonl, and tables of them into README.md and docs/performance.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from pathlib import Path

from benchmarks import pages
from benchmarks.figures import RESULTS, Figure

HERE = Path(__file__).parent


def names() -> list[str]:
    """Every script that answers a question: those with a function `run`."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\ndef run(" in path.read_text(encoding="utf-8"))


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
                figures.append(Figure(**{**json.loads(line.removeprefix("FIGURE ")), "script": name}))
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"benchmark {name} failed with {process.returncode}")
    return figures


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
        began = time.monotonic()
        measured += run_apart(name, quick=not arguments.full)
        print(f"  took {time.monotonic() - began:.0f} s", flush=True)
    kept = [figure for figure in known if figure.script not in chosen] if arguments.names else []
    figures = sorted(kept + measured, key=lambda figure: figure.script)  # those of one script stay in its order
    RESULTS.write_text("".join(figure.to_json() + "\n" for figure in figures), encoding="utf-8")
    pages.write(figures)
    print(pages.table(figures))


if __name__ == "__main__":
    main()
