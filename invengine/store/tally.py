"""The replies to the calls of one batch, added up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from invengine.store import answers
from invengine.store.answers import Answer
from invengine.store.records import LogEntry, Written

OutcomeT = TypeVar("OutcomeT")

# what the last answer of a call may be instead of one to an item: see lua/README.md
_SWEEP_FIRST = b"SWEEP_FIRST"
_COVER_FIRST = b"COVER_FIRST"
_SEND_AGAIN = b"SEND_AGAIN"
_APPLIED = b"APPLIED"
_BROKEN_FROM = 8  # place of the broken promises in the answer of invengine_change_incoming


class Tally(Generic[OutcomeT]):
    """Adds up the replies of one batch."""

    def __init__(self) -> None:
        self.outcomes: list[OutcomeT] = []
        self.revisions: dict[int, int] = {}
        self.entries: list[LogEntry] = []
        self.now_ms = 0
        self.unread: list[tuple[Any, Answer]] = []  # items and their answers, of the newest reply
        self.sweep_first: int | None = None  # the partition to sweep before the item after those can be decided
        self.uncovered: list[tuple[int, str, str]] = []  # partition, SKU, location: free units that backorders wait for
        self._of_steps: list[int | bytes] = []  # what earlier steps of the next item broke

    def note(self, reply: bytes) -> list[Any]:
        """Note what a reply says of partitions and of positions to cover; its answers to the items."""
        self.now_ms, partitions, answers_to_items = answers.read_reply(reply)
        for partition, revision, rows in partitions:
            self.revisions[partition] = revision
            if rows:
                self.entries.append(LogEntry(partition, revision, self.now_ms, rows))
        if _word_of(answers_to_items) == _COVER_FIRST:
            _, *places = answers_to_items.pop()
            for partition, sku, location in zip(*(places[n::3] for n in range(3)), strict=True):
                self.uncovered.append((partition, sku.decode(), location.decode()))
        return answers_to_items

    def add(self, part: Sequence[Any], reply: bytes) -> None:
        """Note a reply to the first items of a part, whose answers are read later."""
        found = self.note(reply)
        self.sweep_first = None
        if _word_of(found[:1]) == _APPLIED and self._of_steps:
            found[0][_BROKEN_FROM:_BROKEN_FROM] = self._of_steps
            self._of_steps = []
        if _word_of(found) == _SWEEP_FIRST:
            self.sweep_first = found.pop()[1]
        elif _word_of(found) == _SEND_AGAIN:
            self._of_steps += found.pop()[1:]
        self.unread = list(zip(part, found))  # noqa: B905  # the items not got to are sent again

    def add_plain(self, reply: bytes) -> list[Any]:
        """The answers of a reply to the first items of a part, noting what else it says."""
        found = self.note(reply)
        self.sweep_first = found.pop()[1] if _word_of(found) == _SWEEP_FIRST else None
        return found

    def read(self, outcome: Callable[[Any, Answer], OutcomeT]) -> None:
        """Turn the answers that were noted last into outcomes."""
        self.outcomes.extend(outcome(item, answer) for item, answer in self.unread)
        self.unread = []

    def written(self) -> Written[OutcomeT]:
        """The answer to the whole batch."""
        return Written(self.outcomes, self.revisions, self.entries, self.now_ms)


def _word_of(answered: list[Any]) -> bytes | None:
    """The word of the last answer, where it is one."""
    last = answered[-1] if answered else None
    return last[0] if isinstance(last, list) else None
