"""The command tree. One module per group of commands; each command imports what it needs when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from invengine.cli import (
    admin,
    availability,
    available_to_promise,
    backup,
    broken,
    calendar,
    demo,
    explain,
    export,
    history,
    incoming,
    lanes,
    load,
    network,
    profile,
    promise,
    rebalance,
    reservations,
    returns,
    serve,
    shortfall,
    size,
    snapshot,
    source,
    stock,
    stock_import,
    token,
    transfers,
    watch,
    wave,
    whatif,
)
from invengine.cli.output import NoColor
from invengine.cli.top import command as top
from invengine.cli.tree import Tree

app = typer.Typer(
    name="invengine",
    help="Real-time inventory visibility: live stock, availability and reservations over gRPC.",
    cls=Tree,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from invengine import __version__

        typer.echo(f"invengine {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
    no_color: NoColor = False,
) -> None:
    """Real-time inventory visibility: live stock, availability and reservations over gRPC.

    Example: invengine demo
    """


demo.register(app)
serve.register(app)
app.add_typer(network.app, name="network")
app.add_typer(lanes.app, name="lane")
app.add_typer(profile.app, name="profile")
app.add_typer(stock.app, name="stock")
app.add_typer(stock_import.feeds, name="feed")
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(incoming.app, name="incoming")
app.add_typer(transfers.app, name="transfer")
availability.register(app)
promise.register(app)
available_to_promise.register(app)
calendar.register(app)
watch.register(app)
top.register(app)
explain.register(app)
history.register(app, stock.app)
export.register(stock.app)
app.add_typer(export.ledger, name="ledger")
source.register(app)
reservations.register(app)
app.add_typer(reservations.app, name="reservation")
broken.register(app)
app.add_typer(shortfall.app, name="shortfall")
rebalance.register(app)
app.add_typer(wave.app, name="wave")
whatif.register(app)
app.add_typer(returns.app, name="return")
admin.register(app)
app.add_typer(backup.app, name="backup")
size.register(app)
app.add_typer(token.app, name="token")
load.register(app)
