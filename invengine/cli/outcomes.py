"""What became of lines that a planner has mended, in a sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from invengine.cli.output import say
from invengine.cli.render import word


def say_results(results: Iterable[str], nothing: str, *, dry_run: bool, has_more: bool) -> None:
    """Say how many lines came to each result (names of the wire), or `nothing` where there was no line."""
    done = Counter(word(result, "RESULT_") for result in results)
    counts = ", ".join(f"{count} {name}" for name, count in sorted(done.items())) or nothing
    say(f"{'Would be: ' if dry_run else ''}{counts}.")
    if has_more:
        say("There are more: do it again.")
