"""Learnt transit times in force, as one document on every server, and what they say of lanes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from invengine.domain.network import Change
from invengine.domain.network_diff import differences
from invengine.domain.transit import (
    CONFIDENCE_PARTS,
    NOTHING_LEARNT,
    LaneName,
    TransitAnswer,
    TransitTimes,
    parts_of,
)
from invengine.domain.transit_distribution import Distribution, Seen
from invengine.domain.transit_document import read_document
from invengine.errors import InvalidArgument, TransitInvalid
from invengine.services import validation
from invengine.services.documents import Documents
from invengine.services.following import POLL_SECONDS

if TYPE_CHECKING:
    from invengine.domain.delivery import Delivery
    from invengine.services.networks import Networks
    from invengine.v1 import network_service_pb2 as pb

USUAL_CONFIDENCES: Final = (0.8, 0.9, 0.95, 0.99)
CONFIDENCES_MAX: Final = 20


class TransitStore(Protocol):
    """What is needed of the store."""

    async def transit(self) -> tuple[str, int] | None:
        """The document in force and its revision from 1, or None."""

    async def apply_transit(self, document: str, expected_revision: int | None) -> int:
        """Puts a document in force: see Documents.write."""


@dataclass(frozen=True, slots=True)
class TransitApplied:
    """The transit times that a document means, what it changes, and the revision in force after the call."""

    times: TransitTimes
    changes: tuple[Change, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class LaneRow:
    """A lane, what was seen of it, and its answers; `stated_days` is None where the network has no such lane."""

    name: LaneName
    stated_days: int | None
    seen: Seen
    answers: tuple[tuple[float, TransitAnswer], ...]
    """By the confidence that was asked for."""
    distribution: Distribution


class LearntTransit(Documents[TransitTimes]):
    """Holds the transit times in force: `times`, which is NOTHING_LEARNT until there are some."""

    name = "transit times"
    unreadable = TransitInvalid

    def __init__(self, store: TransitStore, networks: Networks, *, poll_seconds: float = POLL_SECONDS) -> None:
        super().__init__(poll_seconds=poll_seconds)
        self._store = store
        self._networks = networks

    @property
    def times(self) -> TransitTimes:
        """What is in force."""
        return self.current or NOTHING_LEARNT

    async def apply(
        self, document: str, *, request_id: str, expected_revision: int | None = None, validate_only: bool = False
    ) -> TransitApplied:
        """Puts a document in force on every server as one step, or only says what it would change.

        The document in force, sent again, changes nothing whatever revision is expected, so a repeat is safe.
        InvalidArgument, TransitInvalid, RevisionMismatch, and what the store raises.
        """
        put = await self.put(
            document, request_id=request_id, expected_revision=expected_revision, validate_only=validate_only
        )
        return TransitApplied(*put)

    def lanes(self, message: pb.ListTransitLanesRequest) -> tuple[list[LaneRow], str, TransitTimes]:
        """A page of lanes, the token of the next page, and the times that were asked."""
        wanted = tuple(
            validation.optional_text(field, getattr(message, field)) for field in ("location", "zone", "service")
        )
        size = validation.page_size("page_size", message.page_size)
        confidences = tuple(message.confidences) or USUAL_CONFIDENCES
        validation.count_of("confidences", len(confidences), CONFIDENCES_MAX)
        asked = [(one, confidence_parts(f"confidences[{place}]", one)) for place, one in enumerate(confidences)]
        bound = ("transit lanes", *wanted)
        cursor = validation.cursor_of("page_token", message.page_token, bound)
        times = self.times
        delivery = self._networks.current.delivery if self._networks.current else None
        names = sorted(name for name in _names(times, delivery) if _matches(name, wanted) and _key(name) > cursor)
        rows = [_row(name, times, delivery, asked) for name in names[:size]]
        return rows, validation.page_token(bound, _key(names[size - 1]) if len(names) > size else ""), times

    async def read(self) -> tuple[str, int] | None:
        """The document in the store."""
        return await self._store.transit()

    async def write(self, document: str, expected_revision: int | None) -> int:
        """Puts a document into the store."""
        return await self._store.apply_transit(document, expected_revision)

    def parse(self, document: str, revision: int) -> TransitTimes:
        """What a document means. TransitInvalid."""
        return read_document(document, revision)

    def differences(self, before: TransitTimes | None, after: TransitTimes) -> Sequence[Change]:
        """What of the lanes' answers changes, and on what they rest."""
        return tuple(differences(_elements(before or NOTHING_LEARNT), _elements(after)))

    def in_force(self, meaning: TransitTimes, revision: int) -> TransitTimes:
        """The same times under this revision."""
        return meaning.under(revision)


def confidence_parts(field: str, confidence: float) -> int:
    """A confidence in ten-thousandths, 1 to 9,999; InvalidArgument names the field."""
    parts = parts_of(confidence)
    if parts is None:
        raise InvalidArgument(field, f"is {confidence:g}; 0.0001 to 0.9999 are allowed")
    return parts


def _row(name: LaneName, times: TransitTimes, delivery: Delivery | None, asked: Iterable[tuple[float, int]]) -> LaneRow:
    lane = delivery.lanes.get(name) if delivery else None
    answers = ((confidence, times.answer(*name, parts)) for confidence, parts in asked)
    return LaneRow(
        name,
        lane.transit_days if lane else None,
        times.lanes.get(name, Seen()),
        tuple((confidence, answer) for confidence, answer in answers if answer is not None),
        times.distribution(*name),
    )


def _names(times: TransitTimes, delivery: Delivery | None) -> set[LaneName]:
    return {*times.lanes, *(delivery.lanes if delivery else ())}


def _matches(name: LaneName, wanted: tuple[str, ...]) -> bool:
    return all(part in ("", of_lane) for part, of_lane in zip(wanted, name, strict=True))


def _key(name: LaneName) -> str:
    """The order of lanes as text: names have no control characters."""
    return "\t".join(name)


def _elements(times: TransitTimes) -> Mapping[str, Any]:
    """What one would compare of transit times, as plain values."""
    lanes: dict[str, Any] = {}
    for (location, zone, service), seen in times.lanes.items():
        facts: dict[str, Any] = {"deliveries": seen.deliveries}
        for confidence in USUAL_CONFIDENCES:
            days = times.days(location, zone, service, round(confidence * CONFIDENCE_PARTS))
            facts[f"days_at_{confidence * 100:g}"] = days
        lanes.setdefault(location, {}).setdefault(zone, {})[service] = facts
    return {"strength": times.strength, "basis": times.basis.value, "lanes": lanes}
