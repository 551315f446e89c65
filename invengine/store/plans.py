"""What a change of a reservation asks of each of its pieces, and one refusal out of what the pieces refuse with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from invengine.domain.capacity import is_slot_line
from invengine.domain.orders import ReservationChange
from invengine.domain.partitions import partition_of
from invengine.store.heads import Head
from invengine.store.payload import hand_over_item, head_of, placing_head_of, repromise_item, shipping_head_of
from invengine.store.payload_lines import CandidateLists, added_item, checked, placement_item

LINES_MAX: Final = 200
"""Of a reservation, those of slots not counted, as in lua/amend.lua."""

OF_TRANSFERS: Final = frozenset({"ship_transfer", "cancel_transfer", "close_transfer"})
"""Verbs of transfers."""

_OF_A_LINE = frozenset({b"LINE_NOT_FOUND", b"QUANTITY_EXCEEDS_OPEN"})
_BY_RANK = (b"INTERNAL", b"UNKNOWN_SKU", b"INSUFFICIENT_STOCK")

STOCK_REFUSALS: Final = frozenset({b"UNKNOWN_SKU", b"INSUFFICIENT_STOCK", b"TRANSFER_EXISTS"})
"""What may be refused at one time and not at another; all else follows from the reservation alone."""


@dataclass(slots=True)
class Plan:
    """A change, by partition."""

    verb: str
    change: ReservationChange
    asked: dict[int, list[int]] = field(default_factory=dict)
    """Partition, ascending -> places in the change of what concerns it. Pieces that are not in it stay as they are."""

    lines: list[tuple[str, int]] = field(default_factory=list)
    """line_id and partition of the reservation after it."""

    refusals: list[tuple[int, list[Any]]] = field(default_factory=list)
    """What the head alone refuses: the place in the change, the refusal."""

    added_ids: dict[int, str] = field(default_factory=dict)
    """Place of an added line -> its line_id."""

    def fields(self, partition: int, lists: CandidateLists) -> list[Any]:
        """The item of the verb for a piece, as lua/changes.lua has it."""
        change, places = self.change, self.asked[partition]
        if self.verb == "hand_over":
            return [*head_of(change), 1, hand_over_item(change)]
        if self.verb in ("amend", "rebind"):
            return [
                *placing_head_of(change),
                len(places),
                *(self._placing(place, partition, lists) for place in places),
            ]
        head = head_of(change)
        if self.verb == "repromise":
            return [*head, len(places), *(repromise_item(change.repromises[place]) for place in places)]
        if self.verb in OF_TRANSFERS:
            head = shipping_head_of(change, is_part=len(self.asked) > 1)
        lines = [change.lines[place] for place in places]
        units = [value for line in lines for value in (line.line_id, line.location, line.quantity)]
        checked(value for value in units if isinstance(value, str))
        return [*head, len(places), *units]

    def _placing(self, place: int, partition: int, lists: CandidateLists) -> tuple[object, ...]:
        if place < len(self.change.placements):
            return placement_item(self.change.placements[place], lists)
        line = self.change.added[place - len(self.change.placements)]
        return added_item(line, self.added_ids[place], partition, lists)

    def refusal(self, answers: Mapping[int, list[Any]]) -> list[Any]:
        """The refusal that the whole reservation would give; `answers` are those of pieces that refused."""
        of_lines = list(self.refusals)
        others: dict[bytes, list[tuple[int, list[Any]]]] = {}
        for partition, (word, *facts) in answers.items():
            if word in _OF_A_LINE:
                place = self.asked[partition][facts[0] - 1]
                of_lines.append((place, [word, place + 1, *facts[1:]]))
            else:
                others.setdefault(word, []).append((partition, facts))
        if of_lines:
            return min(of_lines, key=lambda found: found[0])[1]
        word = next((word for word in _BY_RANK if word in others), None)
        if word is None:
            return [next(iter(others)), *next(iter(others.values()))[0][1]]
        if word == b"UNKNOWN_SKU":
            return [word, *min((facts for _, facts in others[word]), key=lambda it: self._place_of(it[1].decode()))]
        if word == b"INSUFFICIENT_STOCK":
            short = [facts[at : at + 5] for _, facts in others[word] for at in range(0, len(facts), 5)]
            short.sort(key=lambda line: self._place_of(line[0].decode()))
            return [word, *(fact for line in short for fact in line)]
        return [word]

    def _place_of(self, line_id: str) -> int:
        """Where a line comes among those that are told: as the change names them, else as the reservation has them."""
        named = [line.line_id for line in self.change.lines] + [line.line_id for line in self.change.placements]
        named += [line.line_id for line in self.change.repromises]
        named += self.added_ids.values()
        order = named or [name for name, _ in self.lines]
        return order.index(line_id)


def check_texts(change: ReservationChange) -> None:
    """Refuse what cannot be stored before anything is begun, as `payload_lines.checked` does."""
    head_of(change)
    texts = [change.to_channel, change.to_customer_ref]
    for repromise in change.repromises:
        repromise_item(repromise)
    for units in change.lines:
        texts += (units.line_id, units.location)
    for placement in change.placements:
        texts += (placement.line_id, placement.named_location, *(each.location for each in placement.candidates))
    for line in change.added:
        texts += (line.line_id, line.sku, line.named_location, *(each.location for each in line.candidates))
        texts += (line.destination.country, line.destination.postal_code, line.destination.location)
    checked(texts)


def plan_of(verb: str, change: ReservationChange, head: Head, partitions: int) -> Plan:
    """How a change of the reservation with this head is made in its pieces."""
    plan = Plan(verb, change, lines=list(head.lines))
    if verb in ("release", "fulfil", "ship_transfer") and change.lines:
        _ask_lines(plan, [line.line_id for line in change.lines])
    elif verb == "repromise":
        _ask_lines(plan, [line.line_id for line in change.repromises])
    elif verb in ("amend", "rebind"):
        _ask_lines(plan, [line.line_id for line in change.placements])
        _add_lines(plan, partitions)
    else:
        plan.asked = {partition: [] for partition in head.partitions}
    plan.asked = dict(sorted(plan.asked.items()))
    return plan


def _ask_lines(plan: Plan, line_ids: list[str]) -> None:
    where = dict(plan.lines)
    for place, line_id in enumerate(line_ids):
        if line_id in where:
            plan.asked.setdefault(where[line_id], []).append(place)
        else:
            plan.refusals.append((place, [b"LINE_NOT_FOUND", place + 1]))


def _add_lines(plan: Plan, partitions: int) -> None:
    taken = {line_id for line_id, _ in plan.lines}
    for number, line in enumerate(plan.change.added):
        place = len(plan.change.placements) + number
        count = sum(not is_slot_line(known) for known, _ in plan.lines)
        line_id = line.line_id or str(count + 1)
        if line_id in taken:
            plan.refusals.append((place, [b"LINE_EXISTS", line_id.encode()]))
            return
        if count == LINES_MAX and not is_slot_line(line_id):
            plan.refusals.append((place, [b"INVALID_ARGUMENT"]))
            return
        partition = partition_of(line.sku, partitions)
        taken.add(line_id)
        plan.added_ids[place] = line_id
        plan.lines.append((line_id, partition))
        plan.asked.setdefault(partition, []).append(place)
