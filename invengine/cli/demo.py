"""The command that shows the engine to a newcomer: a whole one, started for a minute, with a story that it acts out."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.output import AsJson, NoColor, printing, say, show_json
from invengine.cli.session import fail

if TYPE_CHECKING:
    from invengine.cli.demo_story import Teller
    from invengine.client import Client

COMPILING: Final = "Compiling the kernels for this machine: once, for a minute or two."
"""Said to people who wait for the first start."""
_QUIET_SECONDS: Final = 4.0
_CALL_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0


class DemoFailed(Exception):
    """The server of the demo did not start or did not last; the text is what it said."""


def register(app: typer.Typer) -> None:
    """Add the command to the top of the tree."""
    app.command("demo")(demo)


def demo(
    *,
    measure_seconds: Annotated[
        float, typer.Option(min=0.1, max=30, help="How long to measure each way of asking.")
    ] = 1.0,
    json: AsJson = False,
    no_color: NoColor = False,
) -> None:
    """Start a whole engine with a made-up retailer, act out a day at it, measure it, and leave nothing behind.

    It takes about ten seconds and needs nothing set up.

    Example: invengine demo
    """
    try:
        with printing(no_color=no_color):
            asyncio.run(_demo(measure_seconds, as_json=json))
    except KeyboardInterrupt:
        say("Interrupted; the engine of the demo is stopped.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None


async def _demo(seconds: float, *, as_json: bool) -> None:
    from invengine.cli.demo_story import Story, Teller
    from invengine.client import CallFailed
    from invengine.errors import InventoryError

    teller = Teller(quiet=as_json)
    try:
        with tempfile.TemporaryDirectory(prefix="invengine-demo-") as folder:
            async with _engine(Path(folder), teller) as client:
                sound = await Story(client, teller).tell(seconds)
    except (InventoryError, CallFailed, DemoFailed) as error:
        fail(error, as_json)
    if as_json:
        show_json(teller.facts)
    else:
        teller.text("The engine is stopped, and its files are gone.")
    if not sound:
        raise typer.Exit(ExitCode.FAILURE)


@asynccontextmanager
async def _engine(folder: Path, teller: Teller) -> AsyncIterator[Client]:
    """A client of a server process with its own data in `folder`; the process ends with the block, whatever happens."""
    from invengine.cli.demo_server import address_for
    from invengine.client import Client

    log, address = folder / "server.log", address_for(folder)
    with log.open("wb") as output:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "invengine.cli.demo_server",
            str(folder),
            address,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for us; the server then ends by the end of its stdin
        )
    try:
        async with Client(address, timeout_seconds=_CALL_SECONDS, retry_seconds=_CALL_SECONDS) as client:
            if not await _serves(client, server, teller):
                raise DemoFailed(f"the server ended with {server.returncode}: {_text(log)}")
            yield client
    finally:
        assert server.stdin is not None
        server.stdin.close()
        try:
            await asyncio.wait_for(server.wait(), _STOP_SECONDS)
        except TimeoutError:
            server.kill()
            await server.wait()


async def _serves(client: Client, server: asyncio.subprocess.Process, teller: Teller) -> bool:
    """True once the server answers, False as soon as it ended instead."""
    ended = asyncio.create_task(server.wait())
    answer = asyncio.create_task(_first_answer(client))
    try:
        done, _ = await asyncio.wait((ended, answer), timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            teller.text(COMPILING)
            await asyncio.wait((ended, answer), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            answer.result()
        return answer.done()
    finally:
        ended.cancel()
        answer.cancel()
        await asyncio.gather(ended, answer, return_exceptions=True)


async def _first_answer(client: Client) -> None:
    """Returns when the server answers, and be it that it has no network; asks as long as nobody does."""
    from invengine.errors import NetworkMissing, Unavailable

    while True:
        try:
            await client.get_network()
        except NetworkMissing:
            return
        except Unavailable:  # not yet: whether the server still runs is seen elsewhere
            continue
        return


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()
