"""Commands of tokens: who may call a server that wants to know."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from invengine.cli.output import fail_usage, say, show_json, table
from invengine.cli.render import as_json, instant, word
from invengine.cli.session import RequestId, Session, command

if TYPE_CHECKING:
    from invengine.v1.admin_service_pb2 import Token

app = typer.Typer(help="Tokens: who may call a server that wants to know.", no_args_is_help=True)

_INSTANTS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]


class RoleName(StrEnum):
    """What a token may do."""

    READ = "read"
    RESERVE = "reserve"
    FEED = "feed"
    PLAN = "plan"
    ADMIN = "admin"


@command(app, "issue", has_table=False)
async def issue(
    session: Session,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who it is for, as the ledger and the audit log say it.")],
    role: Annotated[
        list[RoleName],
        typer.Option(help="What it may do; may repeat. reserve, feed and plan include read, admin includes all."),
    ],
    for_channel: Annotated[
        str, typer.Option("--for-channel", metavar="CHANNEL", help="Speaks for this channel only; else for any.")
    ] = "",
    not_before: Annotated[datetime | None, typer.Option(formats=_INSTANTS, help="Counts from then on (UTC).")] = None,
    expires: Annotated[datetime | None, typer.Option(formats=_INSTANTS, help="Counts until then (UTC).")] = None,
    rate: Annotated[float, typer.Option(min=0, help="Calls a second that each server takes of it; 0: any.")] = 0.0,
    burst: Annotated[int, typer.Option(min=0, help="Calls at once after a pause; 0: those of a second.")] = 0,
    certificate: Annotated[
        str, typer.Option(metavar="URI", help="No secret: a client's certificate with this URI stands for it (mTLS).")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write the token to this new file, which only you may read, not to stdout.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check it.")] = False,
    request_id: RequestId = "",
) -> None:
    """Make a token, and print it this once: nobody can look it up again.

    Example: invengine token issue web-shop --for-channel web --role reserve --out web.token
    """
    if out is not None and out.exists():
        fail_usage(f"{out} is there already: name a new file.")
    answer = await session.client.issue_token(
        name,
        roles=[one.value for one in role],
        channel=for_channel,
        not_before=_utc(not_before),
        expires=_utc(expires),
        requests_per_second=rate,
        burst=burst,
        certificate_uri=certificate,
        validate_only=dry_run,
        request_id=request_id,
    )
    if answer.secret and out is not None:
        _write(out, answer.secret)
    if session.json:
        shown = as_json(answer)
        if out is not None:
            shown["secret"] = ""
        show_json(shown)
    elif dry_run:
        say("It could be issued.")
    elif answer.secret and out is None:
        typer.echo(answer.secret)
    if dry_run:
        return
    if answer.replayed:
        say(f"Token {answer.token.token_id} was issued by this request before; its secret cannot be told again.")
        if not certificate:
            say(f"If nobody has it: invengine token revoke {answer.token.token_id}, and issue another.")
    else:
        where = f"; it is in {out}" if answer.secret and out else ""
        say(f"Token {answer.token.token_id} is issued for {name}{where}.")


@command(app, "revoke", has_table=False)
async def revoke(
    session: Session,
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The part of the token before the dot.")],
    request_id: RequestId = "",
) -> None:
    """End a token: no call with it is taken any more within a second, and its streams end within 5.

    Example: invengine token revoke 4f2a90c1d3b8e567
    """
    if "." in token_id:
        fail_usage("Name the token by its id, the part before the dot; what is behind it is secret.")
    answer = await session.client.revoke_token(token_id, request_id=request_id)
    if session.json:
        show_json(as_json(answer))
        return
    told = "was revoked" if answer.replayed else "is revoked"
    say(f"Token {token_id} of {answer.token.name} {told}, {instant(answer.token.revoke_time)}.")


@command(app, "list")
async def list_tokens(
    session: Session,
    ended: Annotated[bool, typer.Option("--ended", help="Those too that are revoked or over.")] = False,
) -> None:
    """List tokens: who may call, as what, until when, and when they last did. Never their secrets.

    Example: invengine token list --ended
    """
    answer = await session.client.list_tokens(include_ended=ended)
    if session.json:
        show_json(as_json(answer))
        return
    table(
        ("token_id", "name", "channel", "roles", "requests_per_second", "expire_time", "last_use_time", "state"),
        [_row(token) for token in answer.tokens],
        empty="There is no token yet: invengine token issue NAME --role ROLE.",
    )


def _row(token: Token) -> tuple[str, ...]:
    from invengine.v1.admin_service_pb2 import Role

    return (
        token.token_id,
        token.name,
        token.channel or "any",
        ", ".join(word(Role.Name(role), "ROLE_") for role in token.roles),
        f"{token.requests_per_second:g}" if token.requests_per_second else "any",
        instant(token.expire_time) if token.HasField("expire_time") else "none",
        instant(token.last_use_time) if token.HasField("last_use_time") else "never",
        _state(token),
    )


def _state(token: Token) -> str:
    now = datetime.now(UTC)
    if token.HasField("revoke_time"):
        return f"revoked {instant(token.revoke_time)}"
    if token.HasField("expire_time") and token.expire_time.ToDatetime(tzinfo=UTC) <= now:
        return "over"
    if token.HasField("not_before_time") and token.not_before_time.ToDatetime(tzinfo=UTC) > now:
        return f"from {instant(token.not_before_time)} on"
    return "by certificate" if token.certificate_uri else "live"


def _write(out: Path, secret: str) -> None:
    """Into a new file that only this user may read; printed where it cannot be written, as it is told only now."""
    try:
        handle = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as fault:
        typer.echo(secret)
        fail_usage(f"Cannot write {out}: {fault.strerror}. The token is printed instead.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{secret}\n")


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None else None
