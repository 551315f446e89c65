"""Commands of sourcing profiles: what plans cost and may do, in versions, one active per channel."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.network import read_text
from invengine.cli.output import say, show_json, table, tell
from invengine.cli.render import as_json, instant
from invengine.cli.session import RequestId, Session, command, fail

if TYPE_CHECKING:
    from collections.abc import Iterable

    from invengine.domain.profiles import Profile
    from invengine.v1.profile_pb2 import (
        ActivateProfileResponse,
        ListProfilesResponse,
        ProfileActivation,
        SourcingProfile,
    )

app = typer.Typer(
    help="Sourcing profiles: what plans cost and may do, in versions, one active per channel.", no_args_is_help=True
)

Stored = Annotated[str, typer.Argument(metavar="PROFILE", help="web, the newest version, or web@3.")]
ForChannel = Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel that it is for.")]
Actor = Annotated[str, typer.Option("--actor", help="Who does this, for the record.", show_default="the user's name")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only check it and say what it would change.")]
AllowUnknown = Annotated[
    bool,
    typer.Option("--allow-unknown-places", help="Also where it excludes locations or groups that the network has not."),
]
ExpectedRevision = Annotated[
    int | None,
    typer.Option(min=0, help="Only if the channel's activation still has this revision; 0: if it never had one."),
]


@command(app, "list")
async def list_profiles(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Only this one, every version of it.")] = "",
) -> None:
    """List profiles: of each the newest version and those that are active, and what is active for which channel.

    Example: invengine profile list web
    """
    answer = await session.client.list_profiles(name=name)
    if session.json:
        show_json(as_json(answer))
        return
    listed = list(answer.profiles) if name else list(_newest_and_active(answer))
    table(
        ("profile", "create_time", "actor", "active_channels", "description"),
        [
            (_text(one), instant(one.create_time), one.actor, ", ".join(one.active_channels), one.description)
            for one in listed
        ],
        empty="There is no profile yet: invengine profile put FILE.",
    )
    if not listed:
        return
    if not answer.activations:
        say("No profile is active: sourcing goes by the priority of locations.")
        return
    tell()
    _show_activations(answer.activations)


@command(app, "show")
async def show(
    session: Session,
    profile: Stored,
    document: Annotated[bool, typer.Option("--document", help="Print its file, as it was put.")] = False,
) -> None:
    """Show a profile: every term of it, also those that its file leaves as usual.

    Example: invengine profile show web@3
    """
    answer = await session.client.get_profile(profile)
    if session.json:
        show_json(as_json(answer))
        return
    found = answer.profile
    if document:
        tell(answer.document, nl=not answer.document.endswith("\n"))
    else:
        table(("term", "value"), [(term.term, term.value) for term in found.terms])
    by = f" by {found.actor}" if found.actor else ""
    active = f"; active for {', '.join(found.active_channels)}" if found.active_channels else ""
    say(f"{_text(found)}, put {instant(found.create_time)}{by}{active}.")


@command(app, "put")
async def put(
    session: Session,
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="The profile's file (YAML), or - for stdin.")],
    name: Annotated[str, typer.Option(help="Its name, where the file does not say it.")] = "",
    dry_run: DryRun = False,
    expected_version: Annotated[
        int | None, typer.Option(min=0, help="Only if this is the newest version still; 0: if there is none yet.")
    ] = None,
    allow_unknown_places: AllowUnknown = False,
    actor: Actor = "",
    request_id: RequestId = "",
) -> None:
    """Keep a file as the next version of its profile, and say what is different. It is active for nobody by that.

    The same terms as the newest version make no new one. Every fault of the file is named with its line.

    Example: invengine profile put web.yaml --dry-run
    """
    document = read_text(file)
    _parsed(document, name, session.json)  # all faults at once; an answer of the server has room for the first ones
    answer = await session.client.put_profile(
        document,
        name=name,
        actor=actor or _user(),
        expected_version=expected_version,
        validate_only=dry_run,
        allow_unknown_places=allow_unknown_places,
        request_id=request_id,
    )
    if session.json:
        show_json(as_json(answer))
        return
    if answer.changes:
        table(("term", "before", "after"), [(change.term, change.before, change.after) for change in answer.changes])
    text = f"{answer.name}@{answer.version}"
    if not answer.is_new:
        say(f"Nothing is new: it is {text}.")
    elif dry_run:
        say(f"It would be {text}.")
    else:
        say(f"It is {text}. To source by it: invengine profile activate CHANNEL {text}.")


@command(app, "activate")
async def activate(
    session: Session,
    *,
    for_channel: ForChannel,
    profile: Stored,
    dry_run: DryRun = False,
    expected_revision: ExpectedRevision = None,
    allow_unknown_places: AllowUnknown = False,
    actor: Actor = "",
    request_id: RequestId = "",
) -> None:
    """Make a version of a profile the active one of a channel. Without a version: the newest now, and it stays that.

    Example: invengine profile activate web fast@2 --dry-run
    """
    answer = await session.client.activate_profile(
        for_channel,
        profile,
        actor=actor or _user(),
        expected_revision=expected_revision,
        validate_only=dry_run,
        allow_unknown_places=allow_unknown_places,
        request_id=request_id,
    )
    _tell_active(session, answer, dry_run=dry_run)


@command(app, "deactivate")
async def deactivate(
    session: Session,
    *,
    for_channel: ForChannel,
    dry_run: DryRun = False,
    expected_revision: ExpectedRevision = None,
    actor: Actor = "",
    request_id: RequestId = "",
) -> None:
    """Make no profile active for a channel: its sourcing goes by the priority of locations.

    Example: invengine profile deactivate web
    """
    answer = await session.client.activate_profile(
        for_channel,
        "",
        actor=actor or _user(),
        expected_revision=expected_revision,
        validate_only=dry_run,
        request_id=request_id,
    )
    _tell_active(session, answer, dry_run=dry_run)


@command(app, "history")
async def history(session: Session, for_channel: ForChannel) -> None:
    """Show what was active for a channel, from when on and who made it so, the newest first.

    Example: invengine profile history web
    """
    answer = await session.client.list_profile_activations(for_channel)
    if session.json:
        show_json(as_json(answer))
    elif answer.activations:
        _show_activations(answer.activations)
    else:
        say(f"No profile was ever active for channel {for_channel}.")


@command(app, "diff")
async def diff(
    session: Session,
    *,
    before: Annotated[str, typer.Argument(metavar="BEFORE", help="A profile such as web or web@3, or a file.")],
    after: Annotated[str, typer.Argument(metavar="AFTER", help="A profile, or a file; - for stdin.")],
) -> None:
    """Compare two profiles term by term: stored versions, or files that may never have been put.

    Example: invengine profile diff web@2 web.yaml
    """
    from invengine.domain.profiles import differences

    one, other = [await _profile_of(session, text) for text in (before, after)]
    found = differences(one[1], other[1])
    if session.json:
        show_json({"before": one[0], "after": other[0], "changes": [change._asdict() for change in found]})
        return
    if found:
        table(("term", one[0], other[0]), found)
    else:
        say(f"{one[0]} and {other[0]} have the same terms.")


async def _profile_of(session: Session, text: str) -> tuple[str, Profile]:
    """What to call it, and the profile: of a file where there is one of this name, else a stored version."""
    from invengine.domain.profile_document import read_profile

    if text == "-" or _is_file(text):
        return text, _parsed(read_text(text), "", session.json, unnamed="a file")
    answer = await session.client.get_profile(text)
    return _text(answer.profile), read_profile(answer.document, name=answer.profile.name)


def _is_file(text: str) -> bool:
    return Path(text).is_file()


def _parsed(document: str, name: str, as_json: bool, *, unnamed: str = "") -> Profile:
    """The profile of a file; the command ends, with every fault, where it has any."""
    from invengine.domain.profile_document import read_profile
    from invengine.errors import ProfileInvalid

    try:
        return read_profile(document, name=name, unnamed=unnamed)
    except ProfileInvalid as faults:
        fail(faults, as_json)


def _newest_and_active(answer: ListProfilesResponse) -> Iterable[SourcingProfile]:
    newest = {one.name: one.version for one in answer.profiles}
    return (one for one in answer.profiles if one.active_channels or one.version == newest[one.name])


def _show_activations(activations: Iterable[ProfileActivation]) -> None:
    table(
        ("channel", "profile", "time", "actor", "revision", "note"),
        [
            (
                one.channel,
                one.profile or "none",
                instant(one.time),
                one.actor,
                one.revision,
                "" if one.is_channel_known else "not in the network",
            )
            for one in activations
        ],
        optional=("note",),
    )


def _tell_active(session: Session, answer: ActivateProfileResponse, *, dry_run: bool) -> None:
    if session.json:
        show_json(as_json(answer))
        return
    if answer.changes:
        table(
            ("term", answer.profile_before, answer.activation.profile),
            [(change.term, change.before, change.after) for change in answer.changes],
        )
    activation = answer.activation
    what = activation.profile or "no profile"
    if answer.is_new:
        instead = f" in place of {answer.profile_before}" if answer.profile_before else ""
        done = "would be active" if dry_run else "is active now"
        revision = "" if dry_run else f", revision {activation.revision}"
        say(f"For channel {activation.channel} {what} {done}{instead}{revision}.")
    elif activation.revision:
        by = f", by {activation.actor}" if activation.actor else ""
        since = f"at {instant(activation.time)}{by}, revision {activation.revision}"
        say(f"Nothing changed: for channel {activation.channel} {what} became active {since}.")
    else:
        say(f"No profile was ever active for channel {activation.channel}.")


def _text(profile: SourcingProfile) -> str:
    return f"{profile.name}@{profile.version}"


def _user() -> str:
    """The name of the user; empty where there is none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
