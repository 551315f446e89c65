"""Reading a file of past deliveries for a command: the network that explains it, its bad rows, its parcels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from invengine.cli.exits import ExitCode
from invengine.cli.file_faults import problem_of
from invengine.cli.output import fail_usage, say
from invengine.cli.session import Session, fail
from invengine.cli.text_file import text_of

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.transit_learning import CarrierDays, Parcel

LISTED: Final = 20
"""Bad rows that are said one by one."""

TOLD: Final = 1_000
"""Bad rows that --json lists; beyond, they are counted."""

DeliveriesFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="CSV in UTF-8 with a header line, plain or gzip; - reads stdin.")
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Use the good rows of a file with bad ones.")]
NetworkFile = Annotated[
    Path | None,
    typer.Option(
        "--network", metavar="FILE", help="Zones and calendars of this network file; default: those in force."
    ),
]


async def network_of(session: Session, file: Path | None) -> Network:
    """The network in force, or that of a file; the command ends where there is none, or it has faults."""
    from invengine.domain.network import Network
    from invengine.errors import NetworkInvalid

    try:
        if file is not None:
            return Network.parse(_text(file))
        answer = await session.client.get_network()
        return Network.parse(answer.document, answer.revision)
    except (OSError, UnicodeDecodeError) as error:
        fail_usage(f"{file}: {problem_of(error)}")
    except NetworkInvalid as faults:
        fail(faults, session.json)


class Deliveries:
    """What a file has, read once, and how many of its rows are bad; of those the first ones in words."""

    def __init__(self, file: Path, network: Network) -> None:
        """The command ends where the network cannot tell lanes apart."""
        from invengine.domain.transit_learning import CarrierDays

        if not network.delivery.services:
            fail_usage("The network has no services and zones yet: deliveries cannot be told apart by lane.")
        self._file = file
        self._network = network
        self.carrier_days: Final[Mapping[str, CarrierDays]] = {
            name: CarrierDays(service.calendar) for name, service in network.delivery.services.items()
        }
        """The calendars of the network's services."""
        self.rows = 0
        self.bad_rows = 0
        self.bad: list[str] = []

    def parcels(self) -> Iterator[Parcel]:
        """The good rows. The command ends where the file cannot be read."""
        from invengine.cli.delivery_file import DeliveryFile
        from invengine.cli.movement_file import BadRow, FileUnreadable

        with DeliveryFile(self._file, self._network) as deliveries:
            try:
                for _, entry in deliveries.rows():
                    self.rows += 1
                    if not isinstance(entry, BadRow):
                        yield entry
                        continue
                    self.bad_rows += 1
                    if len(self.bad) < TOLD:
                        self.bad.append(str(entry))
            except FileUnreadable as error:
                fail_usage(str(error))

    def check(self, *, skip_bad: bool) -> None:
        """Says which rows were bad; the command ends where there are some that are not to be skipped."""
        for problem in self.bad[:LISTED]:
            say(problem)
        if self.bad_rows > LISTED:
            say(f"... and {self.bad_rows - LISTED} more")
        if self.bad_rows and not skip_bad:
            said = f"{self.bad_rows} bad row{'' if self.bad_rows == 1 else 's'}"
            say(f"Nothing was learnt: {said}. Correct them, or use the others with --skip-bad.")
            raise typer.Exit(ExitCode.USAGE)


def _text(file: Path) -> str:
    return text_of(file)
