"""Promises that just broke, changed or were mended: the list of broken promises, kept up to date while it is followed.

While nobody does, all live reservations are looked at now and then for the metric, and nothing else is kept or noted;
of several workers only the one that leads looks.
Followed, the list begins with such a look; then the change log says what to look at again:

    B rows, R rows of what is listed, I rows   the reservations that they name, or that wait where they say
    positions that are short otherwise         those who were short, and those who are now
    another network, other transit times       everything
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from invengine.errors import InventoryError
from invengine.replica.short import short_numbers
from invengine.services.lead import Lead
from invengine.services.shortages import Shortages

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine, Leg, LineKey
    from invengine.metrics import Metrics
    from invengine.replica.replica import Replica
    from invengine.replica.state import Entry
    from invengine.services.broken_scan import BrokenScan
    from invengine.store.redis_store import RedisStore

logger = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.2
"""Between two looks while somebody follows: what happens within it is one change."""

WHOLE_SECONDS: Final = 300.0
"""Between two looks at everything while nobody follows."""

START_SECONDS: Final = 10.0
"""Before the first of these."""

IDLE_PARTS: Final = 20
"""A look at everything is followed by a pause of at least so many times its length."""

NAMES_MAX: Final = 2_000
"""Reservations to look at again one by one; of more, everything is looked at."""

BASIS_SECONDS: Final = 1.0
"""How often it is asked whether the network or the transit times are others."""

Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class BrokenChange:
    """What changed of the list: lines that are broken now, or otherwise than they were told; lines that were mended, as
    they were told last. The list as it is then contains the revisions, one for each partition.
    """

    broken: tuple[BrokenLine, ...]
    mended: tuple[BrokenLine, ...]
    revisions: tuple[int, ...]


class Following:
    """One who follows the list. What it did not take yet is told with what comes after it, each line once."""

    def __init__(self, source: BrokenPromises) -> None:
        self._source = source
        self._told: dict[LineKey, BrokenLine] = {}
        self._version = -1

    async def next(self) -> BrokenChange:
        """What is new: at first the whole list, as soon as it is known, empty or not; later only what changed."""
        is_first = self._version < 0
        while True:
            source = self._source
            await source.after(self._version)
            self._version = source.version
            now, told = source.lines, self._told
            broken = tuple(line for key, line in now.items() if told.get(key) != line)
            mended = tuple(line for key, line in told.items() if key not in now)
            self._told = dict(now)
            if broken or mended or is_first:
                return BrokenChange(broken, mended, source.revisions)

    @property
    def is_waiting(self) -> bool:
        """Whether `next` would wait, as far as is known."""
        return self._version == self._source.version


class BrokenPromises:
    """The list of one engine. `run` as a task."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        scan: BrokenScan,
        metrics: Metrics,
        *,
        look_seconds: float = LOOK_SECONDS,
        whole_seconds: float = WHOLE_SECONDS,
        start_seconds: float = START_SECONDS,
        lead: Lead | None = None,
    ) -> None:
        self._store = store
        self._replica = replica
        self._scan = scan
        self._metrics = metrics
        self._look_seconds = look_seconds
        self._whole_seconds = whole_seconds
        self._start_seconds = start_seconds
        self._lead = lead or Lead()
        self.lines: dict[LineKey, BrokenLine] = {}
        """What is broken, while somebody follows."""
        self.revisions: tuple[int, ...] = ()
        self.version = -1
        """Rises with every change of the list; below 0 before it is known."""
        self._followers = 0
        self._entries: list[Entry] = []
        self._everything = True
        self._woken = asyncio.Event()
        self._changed = asyncio.Event()
        self._shortages = Shortages()
        self._short: dict[Place, tuple[int, int]] = {}
        self._waits_at: dict[Place, dict[Leg, str]] = {}  # whose receipts are late or gone, by SKU and location
        self._basis: object = None
        self._newest = -1

    @contextmanager
    def follow(self) -> Iterator[Following]:
        """Follows the list until the block is left."""
        self._followers += 1
        if self._followers == 1:
            self._everything = True
            self.version = -1
            self._replica.on_entries = self._note
            self._woken.set()
        try:
            yield Following(self)
        finally:
            self._followers -= 1
            if not self._followers:
                self._replica.on_entries = None
                self._entries.clear()
                self.lines = {}
                self._waits_at.clear()

    async def after(self, version: int) -> None:
        """Returns when the list is another than at this version, and known."""
        while self.version in (version, -1):
            await self._changed.wait()

    async def run(self) -> None:
        """Looks until cancelled. A store that is away is asked again."""
        await self._rest(self._start_seconds)
        while True:
            began = monotonic()
            try:
                if self._followers or self._lead.is_ours:
                    await self._look()
            except InventoryError as refusal:
                logger.debug("broken promises are not known for now: %s", refusal)
                self._everything = True
            pause = self._look_seconds
            if not self._followers:
                pause = max(self._whole_seconds, IDLE_PARTS * (monotonic() - began))
            await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        """Until there is something to do: followed, at least so long; else at most."""
        if self._followers:
            await asyncio.sleep(seconds)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), BASIS_SECONDS)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), seconds)
        self._woken.clear()

    def _note(self, entries: Sequence[Entry] | None) -> None:
        if entries is None:
            self._everything = True
        else:
            self._entries += entries
        self._woken.set()

    async def _look(self) -> None:
        revisions = tuple(self._replica.applied)
        entries, self._entries = self._entries, []
        basis = self._scan.dates.basis
        if self._everything or not self._followers or basis != self._basis:
            self._everything = False
            await self._look_at_all()
            self._basis = basis
        else:
            names = await self._named(entries)
            if len(names) > NAMES_MAX:
                await self._look_at_all()
            elif names:
                self._take(names, await self._scan.of_reservations(names, self._shortages))
            elif not entries:
                return
        self.revisions = revisions

    async def _look_at_all(self) -> None:
        self._short = short_numbers(self._replica.columns)
        self._shortages = await self._scan.shortages()
        found: list[BrokenLine] = []
        for partition in range(self._store.partitions):
            found += await self._scan.of_partition(partition, self._shortages)
            await asyncio.sleep(0)
        counts = Counter(str(line.reason) for line in found)
        for reason, gauge in self._metrics.broken_promises.items():
            gauge.set(counts[reason])
        if self._followers:
            self._waits_at = await self._waiting()
            self._take(None, found)

    async def _waiting(self) -> dict[Place, dict[Leg, str]]:
        """Whose receipts are known to be late, or gone."""
        found: dict[Place, dict[Leg, str]] = {}
        for partition in range(self._store.partitions):
            for leg, row in (await self._store.broken_texts(partition)).items():
                _, name, _, sku, location, _ = row.split("\t", 5)
                found.setdefault((sku, location), {})[partition, int(leg)] = name
        return found

    async def _named(self, entries: Iterable[Entry]) -> set[str]:
        """The reservations that are to be looked at again, by entries of the log and by what is short now."""
        listed = {line.reservation_id for line in self.lines.values()}
        names: set[str] = set()
        places: set[Place] = set()
        for entry in entries:
            for row in entry.rows.split(b"\n"):
                if row[:2] == b"R\t":
                    names |= {row.split(b"\t", 2)[1].decode()} & listed
                elif row[:2] == b"B\t":
                    names.add(self._note_broken(entry.partition, row.decode()))
                elif row[:2] == b"I\t":
                    _, sku, location, _ = row.decode().split("\t", 3)
                    places.add((sku, location))
        for place in places:
            names.update(self._waits_at.get(place, {}).values())
        at_places = {line.reservation_id for line in self.lines.values() if (line.sku, line.location) in places}
        short = short_numbers(self._replica.columns)
        if short != self._short or at_places:
            names |= at_places | self._shortages.reservations
            self._shortages = await self._scan.shortages()
            self._short = short
            names |= self._shortages.reservations
        return names

    def _note_broken(self, partition: int, row: str) -> str:
        """Takes in a B row; whose promise it is about."""
        _, leg, _, name, _, sku, location, _, reason, _ = row.split("\t", 9)
        there = self._waits_at.setdefault((sku, location), {})
        if reason:
            there[partition, int(leg)] = name
        else:
            there.pop((partition, int(leg)), None)
        if not there:
            del self._waits_at[sku, location]
        return name

    def _take(self, names: set[str] | None, found: Sequence[BrokenLine]) -> None:
        """Takes over what was found of these reservations; of all for None."""
        now = {line.key: line for line in found}
        kept = {} if names is None else {k: line for k, line in self.lines.items() if line.reservation_id not in names}
        lines = kept | now
        if lines != self.lines or self.version < 0:
            self.lines = lines
            self._newest += 1
            self.version = self._newest
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
