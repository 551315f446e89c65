"""Options that several commands for reservations share."""

from __future__ import annotations

from typing import Annotated

import typer

Group = Annotated[str, typer.Option(help="Take from the locations of this group, by priority.")]
AllowSplit = Annotated[bool, typer.Option("--allow-split", help="One line may come from several places.")]
AllowBackorder = Annotated[
    bool, typer.Option("--allow-backorder", help="What is not on hand may come from receipts, or as a backorder.")
]
NeededBy = Annotated[
    str,
    typer.Option(
        metavar="DAY",
        help="With a promised date: the day of delivery at the latest. Else with --allow-backorder: only from receipts "
        "expected by this day.",
    ),
]


Profile = Annotated[
    str,
    typer.Option(
        metavar="NAME[@VERSION]",
        help="Source by this profile; default: the one that is active for the channel, if any.",
    ),
]
