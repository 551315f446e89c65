"""What a planner asks to be done with broken promises, checked; and what became of each line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from invengine.domain.kept import BreakReason, BrokenFilter
from invengine.errors import InvalidArgument
from invengine.services import validation
from invengine.services.promises import broken_filter
from invengine.v1 import promise_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.kept import BrokenLine
    from invengine.errors import InventoryError

RESERVATIONS_MAX: Final = 1000
LINES_MAX: Final = 1000

KEEP_LOCATION: Final = int(pb.RepromiseRequest.POLICY_KEEP_LOCATION)
MOVE: Final = int(pb.RepromiseRequest.POLICY_MOVE)


class Result(IntEnum):
    """What was done with a line, or why nothing was; by their numbers in the proto."""

    KEPT = 1
    MOVED = 2
    NOT_BROKEN = 3
    NO_DATE = 4
    NO_LOCATION = 5
    NOT_BETTER = 6
    COLLECTED = 7
    REFUSED = 8


class CheckedRepromise(NamedTuple):
    """A request that obeys the contract. `reservation_ids` is empty where the filter alone chooses."""

    request_id: str
    fingerprint: str
    moves: bool
    reservation_ids: tuple[str, ...]
    which: BrokenFilter
    dry_run: bool
    lines_max: int


@dataclass(frozen=True, slots=True)
class BrokenAsked:
    """A line as it was asked for (of a kit: with all its components), and all that is broken of it."""

    reservation_id: str
    line_id: str
    broken: tuple[BrokenLine, ...]

    @property
    def promised_day(self) -> int:
        """The day that was promised, 0 for none."""
        return max(one.promised_day for one in self.broken)

    @property
    def new_day(self) -> int:
        """The day on which all of it would be there now, 0 where some of it never will."""
        days = [one.new_day for one in self.broken]
        return max(days) if all(days) else 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a line, or (without a `line_id`) of a reservation that was named. Days are 0 where there are none.

    `promised_day`, `new_day`  the day that was promised, and that it would have been where it was
    `delivery_day`             that is promised now
    """

    reservation_id: str
    line_id: str
    sku: str
    quantity: int
    result: Result
    reason: BreakReason | None = None
    promised_day: int = 0
    new_day: int = 0
    delivery_day: int = 0
    from_locations: tuple[str, ...] = ()
    to_locations: tuple[str, ...] = ()
    refusal: InventoryError | None = None


def check_repromise(message: pb.RepromiseRequest) -> CheckedRepromise:
    """The request, if it obeys the contract; InvalidArgument names the field that does not."""
    request_id = validation.required_id("request_id", message.request_id)
    if message.policy not in (KEEP_LOCATION, MOVE):
        problem = "is required" if not message.policy else f"{message.policy} is not a policy"
        raise InvalidArgument("policy", problem)
    validation.count_of("reservation_ids", len(message.reservation_ids), RESERVATIONS_MAX, least=0)
    names = [
        validation.required_id(f"reservation_ids[{place}]", name) for place, name in enumerate(message.reservation_ids)
    ]
    if not names and not message.HasField("filter"):
        raise InvalidArgument("reservation_ids", "or filter is required")
    if not 0 <= message.lines_max <= LINES_MAX:
        raise InvalidArgument("lines_max", f"is {message.lines_max}; 0 to {LINES_MAX} are allowed")
    content = pb.RepromiseRequest()
    content.CopyFrom(message)
    content.request_id = ""
    fingerprint = blake2b(content.SerializeToString(deterministic=True), digest_size=16).hexdigest()
    return CheckedRepromise(
        request_id,
        fingerprint,
        message.policy == MOVE,
        tuple(dict.fromkeys(names)),
        broken_filter(message.filter, "filter."),
        message.dry_run,
        message.lines_max or LINES_MAX,
    )
