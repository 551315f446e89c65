"""Broken promises as they come and go, for those who watch: kept once for all, told to each in its newest state.

As with values, what one has to be told follows from a number, the count up to which it was told: a slow reader costs
nothing, whatever it misses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from invengine.services.broken_wire import broken_line_to_proto
from invengine.services.watch_wire import PROMISES_BEGIN_ANEW, PROMISES_CAUGHT_UP, promise_field
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine, LineKey
    from invengine.domain.network import Network
    from invengine.services.broken import BrokenChange

PROMISES_A_MESSAGE: Final = 1_000
MENDED_MAX: Final = 10_000
"""So many that are mended are remembered, for those who were told that they are broken; who is slower begins anew."""


class _Entry:
    """A promise in its newest state, and the counts at which it was told to break first, and to change last."""

    __slots__ = ("_encoded", "broken_at", "changed_at", "is_mended", "line")

    def __init__(self, line: BrokenLine, count: int) -> None:
        self.broken_at = count
        self.take(line, count, is_mended=False)

    def take(self, line: BrokenLine, count: int, *, is_mended: bool) -> None:
        self.line, self.changed_at, self.is_mended = line, count, is_mended
        self._encoded = b""

    def encoded(self) -> bytes:
        """As an element of a message."""
        if not self._encoded:
            self._encoded = promise_field(_change(self.line, mended=self.is_mended))
        return self._encoded


Entries = dict[tuple[str, "LineKey"], _Entry]
"""By channel and key, in the order in which they changed."""


class Board:
    """All promises that are broken, and the newest of those that were mended. `count` rises with every change of it."""

    def __init__(self) -> None:
        self.count = 0
        self.is_known = False
        self.forgotten_at = 0
        """Who was told up to a count before this one does not know what was mended since."""
        self._by_channel: dict[str, Entries] = {}
        self._by_sku: dict[tuple[str, str], Entries] = {}
        self._channels: dict[LineKey, str] = {}  # of those that are broken
        self._mended: Entries = {}

    def begin(self, change: BrokenChange) -> None:
        """Takes in all that are broken: nothing else is known any more."""
        self._by_channel, self._by_sku, self._channels, self._mended = {}, {}, {}, {}
        self.is_known = True
        self.take(change)
        self.forgotten_at = self.count

    def end(self) -> None:
        """What is broken is not known any more."""
        self.is_known = False

    def take(self, change: BrokenChange) -> None:
        """Takes in what changed."""
        self.count += 1
        for line in change.mended:
            self._mend(line.key)
        for line in change.broken:
            if self._channels.get(line.key, line.channel) != line.channel:  # the reservation was handed over
                self._mend(line.key)
            self._break(line)
        self._forget()

    def changed_after(self, count: int, channel: str, skus: frozenset[str] | None) -> list[_Entry]:
        """What one who was told up to `count` has to be told: of a channel, and of these SKUs (None: of all)."""
        if skus is None:
            found = list(_newest(self._by_channel.get(channel, {}), count))
        else:
            found = self._of_skus(count, channel, skus)
        return [entry for entry in reversed(found) if not entry.is_mended or entry.broken_at <= count]

    def _of_skus(self, count: int, channel: str, skus: frozenset[str]) -> list[_Entry]:
        """The newest first: looked for among what changed, or among the SKUs, whichever are fewer."""
        found = []
        for looked_at, entry in enumerate(_newest(self._by_channel.get(channel, {}), count)):
            if looked_at >= len(skus):
                entries = (self._by_sku.get((channel, sku), {}) for sku in sorted(skus))
                return [entry for of_sku in entries for entry in _newest(of_sku, count)]
            if entry.line.sku in skus:
                found.append(entry)
        return found

    def _break(self, line: BrokenLine) -> None:
        key = line.channel, line.key
        entry = self._by_channel.get(line.channel, {}).get(key)
        if entry is None:
            entry = _Entry(line, self.count)
        else:
            entry.take(line, self.count, is_mended=False)
            self._mended.pop(key, None)
        self._channels[line.key] = line.channel
        self._put(key, entry)

    def _mend(self, line: LineKey) -> None:
        channel = self._channels.pop(line, None)
        if channel is not None:
            key = channel, line
            entry = self._by_channel[channel][key]
            entry.take(entry.line, self.count, is_mended=True)
            self._mended[key] = entry
            self._put(key, entry)

    def _put(self, key: tuple[str, LineKey], entry: _Entry) -> None:
        """Puts an entry behind all that changed before it."""
        for entries in (
            self._by_channel.setdefault(key[0], {}),
            self._by_sku.setdefault((key[0], entry.line.sku), {}),
        ):
            entries.pop(key, None)
            entries[key] = entry

    def _forget(self) -> None:
        """Of those that are mended only the newest stay."""
        for key in list(islice(self._mended, max(0, len(self._mended) - MENDED_MAX))):
            entry = self._mended.pop(key)
            self.forgotten_at = entry.changed_at
            channel, sku = key[0], entry.line.sku
            del self._by_channel[channel][key]
            del self._by_sku[channel, sku][key]
            if not self._by_sku[channel, sku]:
                del self._by_sku[channel, sku]


class PromiseQueue:
    """What one who watches has to be told of the promises of a channel, a message's worth at a time."""

    def __init__(self, board: Board, channel: str, names: Iterable[bytes]) -> None:
        self._board = board
        self._channel = channel
        self._names = frozenset(name.decode() for name in names)  # none: all SKUs
        self._network: Network | None = None
        self._skus: frozenset[str] | None = None
        self._told = 0  # count of the board up to which it was told, or will be with the queue
        self._queue: list[_Entry] = []
        self._at = 0
        self._begins_anew = True
        self._caught_up = False

    def has_more(self, network: Network | None) -> bool:
        """Whether there is something to be told; `network` is the one in force."""
        board = self._board
        if not board.is_known:
            return False
        if self._names and network is not self._network:
            self._choose(network)
        if self._told < board.forgotten_at:
            self._begin_anew()
        if self._at >= len(self._queue) and self._told != board.count:
            self._queue, self._at = board.changed_after(self._told, self._channel, self._skus), 0
            self._told = board.count
        return self._at < len(self._queue) or not self._caught_up

    def take(self) -> tuple[bytes, int]:
        """The next fields of a message, and how many changes they tell. Something must be there to be told."""
        piece = self._queue[self._at : self._at + PROMISES_A_MESSAGE]
        self._at += len(piece)
        parts = [entry.encoded() for entry in piece]
        if self._begins_anew:
            parts.append(PROMISES_BEGIN_ANEW)
            self._begins_anew = False
        if self._at >= len(self._queue):
            self._queue, self._at = [], 0
            if not self._caught_up:
                parts.append(PROMISES_CAUGHT_UP)
                self._caught_up = True
        return b"".join(parts), len(piece)

    def _choose(self, network: Network | None) -> None:
        """The SKUs that are watched: those that were named, and what kits among them are made of."""
        kits = network.kits if network is not None else {}
        skus = self._names.union(part.sku for name in self._names if name in kits for part in kits[name])
        if self._skus is not None and skus != self._skus:
            self._begin_anew()
        self._network, self._skus = network, skus

    def _begin_anew(self) -> None:
        self._told, self._queue, self._at = 0, [], 0
        self._begins_anew, self._caught_up = True, False


def _newest(entries: Entries, count: int) -> Iterator[_Entry]:
    """What changed after a count, the newest first."""
    for entry in reversed(entries.values()):
        if entry.changed_at <= count:
            return
        yield entry


def _change(line: BrokenLine, *, mended: bool) -> pb.PromiseChange:
    partition, number, is_short = line.key
    key = f"{partition}-{number}{'-short' if is_short else ''}"
    return pb.PromiseChange(key=key, promise=broken_line_to_proto(line), mended=mended)
