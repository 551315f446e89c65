"""Commands of the network document: locations, groups, channels and safety-stock rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from invengine.cli.file_faults import problem_of
from invengine.cli.output import AsJson, NoColor, fail_usage, say, show_json, table, tell
from invengine.cli.render import as_json, word
from invengine.cli.session import RequestId, Session, command, fail
from invengine.cli.text_file import text_of
from invengine.errors import NetworkFault

app = typer.Typer(help="The network document: locations, groups, channels, safety-stock rules.", no_args_is_help=True)

File = Annotated[str, typer.Argument(metavar="FILE", help="The network file (YAML), or - for stdin.")]


def read_text(file: str) -> str:
    """The content of a file, or of stdin for `-`; the command ends when it cannot be read."""
    try:
        return text_of(file)
    except (OSError, UnicodeDecodeError) as error:
        fail_usage(f"{file}: {problem_of(error)}")


@command(app, "apply", timeout_seconds=60.0)  # a file of 100,000 lanes is read for seconds
async def apply(
    session: Session,
    file: File,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it and say what it would change.")] = False,
    expected_revision: Annotated[
        int | None, typer.Option(min=0, help="Only if the network still has this revision; 0: if there is none yet.")
    ] = None,
    request_id: RequestId = "",
) -> None:
    """Put a network file in force on every server, as one step, and say what changed.

    Example: invengine network apply shop.yaml --dry-run
    """
    answer = await session.client.apply_network(
        read_text(file), validate_only=dry_run, expected_revision=expected_revision, request_id=request_id
    )
    if session.json:
        show_json(as_json(answer))
        return
    if answer.changes:
        kinds = type(answer.changes[0]).Kind
        table(
            ("change", "path", "before", "after"),
            [
                (word(kinds.Name(change.kind), "KIND_").lower(), change.path, change.before, change.after)
                for change in answer.changes
            ],
        )
    for warning in answer.warnings:
        say(f"warning: {NetworkFault(warning.line, warning.path, warning.problem)}")
    done = "would change" if dry_run else "changed"
    say(f"{len(answer.changes) or 'Nothing'} {done}; revision {answer.revision} is in force.")


@command(app, "show", has_table=False)
async def show(session: Session) -> None:
    """Print the network document in force, as it was applied.

    Example: invengine network show > shop.yaml
    """
    answer = await session.client.get_network()
    if session.json:
        show_json(as_json(answer))
        return
    tell(answer.document, nl=not answer.document.endswith("\n"))
    say(f"Revision {answer.revision}.")


@app.command("check")
def check(file: File, json: AsJson = False, no_color: NoColor = False) -> None:
    """Check a network file without a server: every fault and every gap is named with its line.

    Faults: the file is refused. Gaps are warnings: dates of delivery would be promised wrongly or not at all.

    Example: invengine network check shop.yaml
    """
    from invengine.domain.days import day_number
    from invengine.domain.delivery_gaps import delivery_gaps
    from invengine.domain.network import Network
    from invengine.errors import NetworkInvalid

    try:
        network = Network.parse(read_text(file))  # --no-color is of the whole program
    except NetworkInvalid as error:
        if json:
            show_json({"faults": [_told(fault) for fault in error.faults], "warnings": []})
        fail(error, json)
    gaps = delivery_gaps(network, day_number(datetime.now(UTC).date()))
    counts = {name: len(getattr(network, name)) for name in ("locations", "groups", "channels")}
    if json:
        show_json({"faults": [], "warnings": [_told(gap) for gap in gaps], **counts})
        return
    for gap in gaps:
        say(f"warning: {gap}")
    warnings = f" {len(gaps)} {'warning' if len(gaps) == 1 else 'warnings'}." if gaps else ""
    tell("No faults: " + ", ".join(f"{count} {name}" for name, count in counts.items()) + "." + warnings)


def _told(fault: NetworkFault) -> dict[str, int | str]:
    return {"line": fault.line, "path": fault.path, "problem": fault.problem}
