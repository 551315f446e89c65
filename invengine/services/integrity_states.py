"""The part of the integrity check that looks at units that are there and not sellable.

Suspects are judged as positions are: looked at twice, and wrong only when what is stored did not move in between.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from invengine.domain.partitions import partition_of
from invengine.domain.stock import UNITS_MAX
from invengine.errors import ReplicaBehind
from invengine.services.integrity_report import POSITION_IS_LOGGED, READABLE, REPLICA_IS_STORE, Violate
from invengine.store.records import Unreadable, read_unsellable

if TYPE_CHECKING:
    from invengine.domain.stock import Unsellable
    from invengine.replica.replica import Replica
    from invengine.store.redis_store import RedisStore

ROUNDS_MAX: Final = 5
REPLICA_SECONDS_MAX: Final = 5.0

Shelf = tuple[str, str, str]
"""SKU, location, state."""


class StatesCheck:
    """One look at all units in states; where a replica is given, at what it has of them too."""

    def __init__(self, store: RedisStore, violate: Violate, replica: Replica | None = None) -> None:
        self._store = store
        self._replica = replica
        self._violate = violate

    async def run(self) -> int:
        """Judges everything; how many moved too fast to be judged."""
        suspects = await self._suspects()
        for _ in range(ROUNDS_MAX):
            if not suspects:
                break
            suspects = await self._settle(suspects)
        return len(suspects)

    async def _suspects(self) -> set[Shelf]:
        """What does not agree with the replica or its position at a first look, or cannot be read."""
        replicated = self._replicated()
        left, suspects = set(replicated), set()
        async for chunk in self._store.snapshot_unsellable_texts():
            for sku, stored in chunk:
                positions = await self._revisions(sku)
                for name, text in stored.items():
                    shelf = _shelf(sku, name)
                    left.discard(shelf)
                    one = _read(shelf, text)
                    is_replicated = self._replica is None or (one is not None and replicated.get(shelf) == one)
                    if one is None or not is_replicated or one.revision > positions.get(shelf[1], 0):
                        suspects.add(shelf)
        return suspects | left

    async def _settle(self, suspects: set[Shelf]) -> set[Shelf]:
        """Judges the suspects that stand still during this look; those that moved are left."""
        before = await self._texts(suspects)
        knows = await self._replica_follows()
        replicated = self._replicated()
        after = await self._texts(suspects)
        moved = {shelf for shelf in suspects if before[shelf] != after[shelf]}
        for shelf in sorted(suspects - moved):
            text, position_revision = after[shelf]
            self._judge(shelf, text, position_revision, replicated.get(shelf), knows=knows)
        return moved

    def _judge(
        self, shelf: Shelf, text: str, position_revision: int, replicated: Unsellable | None, *, knows: bool
    ) -> None:
        place, state = shelf[:2], shelf[2]
        one = _read(shelf, text) if text else None
        if text and one is None:
            self._violate(READABLE, place, f"not units in {state}: {text!r}")
            return
        if one is not None and one.revision > position_revision:
            told = f"units in {state} changed at revision {one.revision}, the position last at {position_revision}"
            self._violate(POSITION_IS_LOGGED, place, told, one.revision, position_revision)
        if knows and replicated != one:
            expected, actual = (0 if it is None else it.units for it in (one, replicated))
            told = f"units in {state} are {expected} in the store and {actual} in the replica"
            self._violate(REPLICA_IS_STORE, place, told, expected, actual)

    # Readings

    async def _revisions(self, sku: str) -> dict[str, int]:
        """Revision of each position of a SKU; none where one cannot be read, which the rest of the check tells."""
        try:
            positions = await self._store.positions(sku)
        except Unreadable:
            return {}
        return {location: position.revision for location, position in positions.items()}

    async def _texts(self, shelves: Collection[Shelf]) -> dict[Shelf, tuple[str, int]]:
        """What is stored of each, empty where nothing is, and the revision of its position; of one that is not there
        the revision of the partition, which every change of it raises.
        """
        newest = await self._store.revisions()
        found = {}
        for sku, location, state in sorted(shelves):
            text = (await self._store.unsellable_texts(sku)).get(f"{location}\t{state}", "")
            positions = await self._revisions(sku)
            nowhere = 0 if text else newest[partition_of(sku, self._store.partitions)]
            found[sku, location, state] = text, positions.get(location, nowhere)
        return found

    def _replicated(self) -> dict[Shelf, Unsellable]:
        if self._replica is None:
            return {}
        return {(one.sku, one.location, one.state): one for one in self._replica.unsellable.all()}

    async def _replica_follows(self) -> bool:
        """Whether the replica has what the store had when this was asked."""
        if self._replica is None:
            return False
        try:
            await self._replica.wait_for(list(enumerate(await self._store.revisions())), REPLICA_SECONDS_MAX)
        except ReplicaBehind:
            return False
        return True


def _shelf(sku: str, name: str) -> Shelf:
    location, _, state = name.partition("\t")
    return sku, location, state


def _read(shelf: Shelf, text: str) -> Unsellable | None:
    sku, location, state = shelf
    try:
        one = read_unsellable(sku, f"{location}\t{state}", text)
    except Unreadable:
        return None
    return one if 0 <= one.units <= UNITS_MAX else None
