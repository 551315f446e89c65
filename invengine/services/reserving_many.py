"""Making many reservations in one call: in their order, as many as can be written together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.errors import (
    Exhausted,
    InsufficientStock,
    InvalidArgument,
    InventoryError,
    OutcomeUnknown,
    Unavailable,
)
from invengine.services.dated_requests import needs_dates
from invengine.services.reservation_requests import CheckedRequest, check_create, impossible
from invengine.services.reserving import Outcome, Reserving, first_answer_or

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.orders import ReserveRequest
    from invengine.v1 import reservation_service_pb2 as pb

PLANS_OF_PART_MAX: Final = 50
"""Requests that are planned before they are taken: some 50 ms in which nobody else is served."""


class _Planned(NamedTuple):
    """A request that was planned, as it was asked."""

    checked: CheckedRequest
    asked: ReserveRequest


class _Item(NamedTuple):
    """One of those that are written together: its place, and why it is impossible, or that it was planned."""

    place: int
    request: ReserveRequest
    why: InventoryError | None = None
    planned: _Planned | None = None


class ReservingMany:
    """One call. Those for few parcels, with kits or with dates are made one by one; those by a profile are planned with
    what the others before them are about to take.
    """

    def __init__(self, reserving: Reserving, network: Network) -> None:
        self._reserving = reserving
        self._network = network
        self._outcomes: dict[int, Outcome] = {}
        self._revisions: dict[int, int] = {}
        self._said: list[Outcome] = []  # by the store
        self._part: list[_Item] = []
        self._taken: Counter[tuple[str, str]] = Counter()  # by the plans of this part, by SKU and location

    async def make(self, messages: Sequence[pb.CreateReservationRequest]) -> tuple[list[Outcome], dict[int, int]]:
        """One outcome each, in their order, and the revisions that they rest on."""
        for place, message in enumerate(messages):
            try:
                checked = check_create(message, self._reserving.ids)
            except InvalidArgument as refusal:
                self._outcomes[place] = _of_place(place, refusal)
                continue
            if self._reserving.is_by_profile(checked):
                await self._add_planned(place, checked)
            elif self._is_alone(checked):
                await self._add_alone(place, checked)
            else:
                self._add(place, checked)
        await self._write()
        raise_if_all_failed(self._said, len(self._said))
        return [self._outcomes[place] for place in range(len(messages))], self._revisions

    def _is_alone(self, checked: CheckedRequest) -> bool:
        kits = self._network.kits
        has_kit = bool(kits) and any(line.sku in kits for line in checked.lines)
        return bool(checked.parcels_max) or has_kit or needs_dates(checked, self._network)

    def _add(self, place: int, checked: CheckedRequest) -> None:
        try:
            self._part.append(_Item(place, self._reserving.resolved(checked, self._network)))
        except InventoryError as refusal:
            self._part.append(_Item(place, impossible(checked), refusal))

    async def _add_planned(self, place: int, checked: CheckedRequest) -> None:
        if len(self._part) >= PLANS_OF_PART_MAX:
            await self._write()
        planned = self._reserving.ahead(checked, self._network, self._taken)
        if planned is None:
            await self._add_alone(place, checked)
        else:
            asked, request = planned
            self._part.append(_Item(place, request, planned=_Planned(checked, asked)))

    async def _add_alone(self, place: int, checked: CheckedRequest) -> None:
        await self._write()
        outcome = await self._alone(checked)
        if isinstance(outcome, InvalidArgument):
            outcome = _of_place(place, outcome)
        self._said.append(outcome)
        self._outcomes[place] = outcome

    async def _alone(self, checked: CheckedRequest, trips: int = 0) -> Outcome:
        try:
            outcome, more = await self._reserving.one(checked, self._network, trips=trips)
        except InventoryError as failure:  # what was written before it stays written and is answered
            return failure
        self._note(more)
        return outcome

    async def _write(self) -> None:
        """Writes what was gathered."""
        if not self._part:
            return
        part, self._part = self._part, []
        answers, more = await self._reserving.submit([item.request for item in part])
        self._note(more)
        self._said.extend(answers)
        for item, outcome in zip(part, answers, strict=True):
            self._outcomes[item.place] = await self._told(item, outcome)
        self._taken.clear()

    async def _told(self, item: _Item, outcome: Outcome) -> Outcome:
        if item.planned is None:
            if item.why is not None:
                return first_answer_or(item.why, outcome)
            return self._reserving.dated(item.request, outcome)
        if isinstance(outcome, InsufficientStock):  # all its plans are gone: planned again
            return await self._alone(item.planned.checked, 1)
        self._reserving.count_planned(outcome)
        return self._reserving.dated(item.planned.asked, outcome)

    def _note(self, more: dict[int, int]) -> None:
        for partition, revision in more.items():
            self._revisions[partition] = max(revision, self._revisions.get(partition, 0))


def _of_place(place: int, refusal: InvalidArgument) -> InvalidArgument:
    return InvalidArgument(f"requests[{place}].{refusal.field}", refusal.problem)


def raise_if_all_failed(outcomes: Sequence[Outcome], count: int) -> None:
    """Raises what kept the store from all `count` of them: a caller that repeats unavailable calls then repeats this
    one.
    """
    failed = [outcome for outcome in outcomes if isinstance(outcome, Unavailable | Exhausted | OutcomeUnknown)]
    if count and len(failed) == count:
        raise next((failure for failure in failed if isinstance(failure, OutcomeUnknown)), failed[0])
