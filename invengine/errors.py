"""Every refusal of the engine, on one page.

    InventoryError
    |- InvalidArgument          a field is missing, malformed or out of range
    |- MalformedMessage         the bytes are not a message of the method
    |- RequestMismatch          the request_id was used with other content
    |- NotFound                 UnknownSku, UnknownLocation, UnknownGroup, UnknownChannel, UnknownState,
    |                           PositionNotFound, ReservationNotFound, LineNotFound, ReceiptNotFound, TransferNotFound,
    |                           ReturnNotFound, UnknownService, UnknownProfile, PlanNotFound, TokenNotFound
    |- Refused                  the state does not allow it: InsufficientStock, LocationNotUsable, ChannelDisabled,
    |                           GroupNotUsable, ReservationExpired, ReservationClosed, ReservationConfirmed,
    |                           ReservationNotConfirmed, QuantityExceedsOpen, TimeToLiveTooLong, QuantityOutOfRange,
    |                           CountTooOld, TooManyParcels, NetworkMissing, TransferClosed, OfTransfer,
    |                           QuantityExceedsFulfilled, PromiseTooLate, CapacityExhausted, PromiseUnknown, NoPlan,
    |                           DayNotRecorded,
    |                           TooManyProfiles, PlanStale, TooManyTokens, HandlesUnknown
    |- Stale                    a count says more: OlderCount, CoveredByCount
    |- ReservationExists        the id belongs to another reservation
    |- ReturnExists             the id belongs to another return
    |- LineExists               the id belongs to another line of the reservation
    |- TransferExists           the id belongs to another transfer, a reservation or a receipt
    |- RevisionMismatch         the record changed since the caller saw it
    |- NetworkInvalid           the network document has faults
    |- TransitInvalid           the document of transit times has a fault
    |- ProfileInvalid           the document of a sourcing profile has faults
    |- OutcomeUnknown           sent, and nobody knows: repeat with the same request_id
    |- Unavailable              StoreUnavailable, ReplicaBehind, ShuttingDown: nothing changed, try again
    |- Exhausted                StoreFull, Overloaded, RateLimited
    |- Unauthenticated          nobody knows who calls
    |- NotAllowed               RoleMissing, ChannelNotAllowed: the caller is known, and may not
    `- InternalError            a fault of the engine

One word per refusal: `reason` is the word that the Redis Functions reply, that `ErrorReason` in the proto lists, that
`ErrorInfo.reason`, the metrics and the command line show. An instance carries the true numbers as fields; `metadata`
gives them by name, and `str()` is the sentence for people.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, timedelta
from typing import ClassVar


class InventoryError(Exception):
    """A refusal: nothing was changed by the call that raised it."""

    reason: ClassVar[str] = ""

    @property
    def metadata(self) -> dict[str, str]:
        """The facts behind the refusal, by name, as text."""
        return {
            f.name: str(getattr(self, f.name))
            for f in fields(self)  # type: ignore[arg-type]  # every concrete refusal is a dataclass
            if isinstance(getattr(self, f.name), (str, int))
        }


@dataclass(eq=False)
class InvalidArgument(InventoryError):
    """A field is missing, malformed or out of range; nothing else of the request was looked at or changed."""

    reason = "INVALID_ARGUMENT"
    field: str
    problem: str

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


@dataclass(eq=False)
class MalformedMessage(InventoryError):
    """The bytes received are not a message of the method."""

    reason = "MALFORMED_MESSAGE"
    method: str

    def __str__(self) -> str:
        return f"the request of {self.method} cannot be decoded"


@dataclass(eq=False)
class RequestMismatch(InventoryError):
    """The request_id was used before with other content; nothing was done now."""

    reason = "REQUEST_MISMATCH"
    request_id: str

    def __str__(self) -> str:
        return f"request_id {self.request_id!r} was used before with other content"


class NotFound(InventoryError):
    """Something that the request names does not exist."""


@dataclass(eq=False)
class UnknownSku(NotFound):
    """No movement of this SKU was ever recorded."""

    reason = "UNKNOWN_SKU"
    sku: str

    def __str__(self) -> str:
        return f"SKU {self.sku!r} is not known"


@dataclass(eq=False)
class UnknownLocation(NotFound):
    """The network has no such location."""

    reason = "UNKNOWN_LOCATION"
    location: str

    def __str__(self) -> str:
        return f"location {self.location!r} is not in the network"


@dataclass(eq=False)
class UnknownGroup(NotFound):
    """The network has no such location group."""

    reason = "UNKNOWN_GROUP"
    group: str

    def __str__(self) -> str:
        return f"group {self.group!r} is not in the network"


@dataclass(eq=False)
class UnknownChannel(NotFound):
    """The network has no such channel."""

    reason = "UNKNOWN_CHANNEL"
    channel: str

    def __str__(self) -> str:
        return f"channel {self.channel!r} is not in the network"


@dataclass(eq=False)
class UnknownState(NotFound):
    """The network has no such state of units that cannot be sold."""

    reason = "UNKNOWN_STATE"
    state: str

    def __str__(self) -> str:
        return f"state {self.state!r} is not in the network"


@dataclass(eq=False)
class UnknownService(NotFound):
    """The network has no such service."""

    reason = "UNKNOWN_SERVICE"
    service: str

    def __str__(self) -> str:
        return f"service {self.service!r} is not in the network"


@dataclass(eq=False)
class UnknownProfile(NotFound):
    """There is no sourcing profile of this name, or it has no such version; `profile` is such as web or web@3."""

    reason = "UNKNOWN_PROFILE"
    profile: str

    def __str__(self) -> str:
        return f"there is no sourcing profile {self.profile!r}"


@dataclass(eq=False)
class PositionNotFound(NotFound):
    """The SKU was never stocked at this location."""

    reason = "POSITION_NOT_FOUND"
    sku: str
    location: str

    def __str__(self) -> str:
        return f"{self.sku!r} was never stocked at {self.location!r}"


@dataclass(eq=False)
class ReservationNotFound(NotFound):
    """No such reservation, or it was closed so long ago that it is forgotten."""

    reason = "RESERVATION_NOT_FOUND"
    reservation_id: str

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} is not known"


@dataclass(eq=False)
class LineNotFound(NotFound):
    """The reservation has no such line, or the line no units at that location."""

    reason = "LINE_NOT_FOUND"
    reservation_id: str
    line_id: str
    location: str = ""

    def __str__(self) -> str:
        where = f" at {self.location!r}" if self.location else ""
        return f"reservation {self.reservation_id!r} has no line {self.line_id!r}{where}"


class Refused(InventoryError):
    """The state of stock, reservation or network does not allow it."""


@dataclass(frozen=True)
class ShortLine:
    """A line that cannot be covered: `location` is empty when the line left the choice open.

    `next_day` is the day, since 1970, by which unpromised incoming receipts make up what is missing; 0: never. Of a kit
    the numbers are kits, and `component` is what there is too little of for it.
    """

    line_id: str
    sku: str
    location: str
    wanted: int
    available: int
    next_day: int = 0
    component: str = ""

    def __str__(self) -> str:
        where = self.location or "all its locations"
        why = f" for want of {self.component}" if self.component else ""
        then = f", the rest expected by {self.next_date}" if self.next_day else ""
        return f"{self.wanted} {self.sku} wanted at {where}, {self.available} available to sell{why}{then}"

    @property
    def next_date(self) -> str:
        """`next_day` as ISO 8601, empty for never."""
        return (date(1970, 1, 1) + timedelta(days=self.next_day)).isoformat() if self.next_day else ""


@dataclass(eq=False)
class InsufficientStock(Refused):
    """Fewer units can be sold than were asked for; nothing was taken. Every short line is listed."""

    reason = "INSUFFICIENT_STOCK"
    short_lines: tuple[ShortLine, ...]

    @property
    def metadata(self) -> dict[str, str]:
        """The first short line, and how many there are."""
        first = self.short_lines[0]
        return {
            "line_id": first.line_id,
            "sku": first.sku,
            "location": first.location,
            "wanted": str(first.wanted),
            "available": str(first.available),
            "short_lines": str(len(self.short_lines)),
            **({"next_date": first.next_date} if first.next_day else {}),
            **({"component": first.component} if first.component else {}),
        }

    def __str__(self) -> str:
        return "; ".join(str(line) for line in self.short_lines)


@dataclass(eq=False)
class LocationNotUsable(Refused):
    """A named location is switched off, not the channel's, or not able to fulfil in the wanted way."""

    reason = "LOCATION_NOT_USABLE"
    location: str
    channel: str
    problem: str

    def __str__(self) -> str:
        return f"channel {self.channel!r} cannot use location {self.location!r}: {self.problem}"


@dataclass(eq=False)
class ChannelDisabled(Refused):
    """The channel is switched off."""

    reason = "CHANNEL_DISABLED"
    channel: str

    def __str__(self) -> str:
        return f"channel {self.channel!r} is switched off"


@dataclass(eq=False)
class GroupNotUsable(Refused):
    """The channel does not see this group."""

    reason = "GROUP_NOT_USABLE"
    group: str
    channel: str

    def __str__(self) -> str:
        return f"channel {self.channel!r} does not see group {self.group!r}"


@dataclass(eq=False)
class ReservationExpired(Refused):
    """The hold ran out before the call."""

    reason = "RESERVATION_EXPIRED"
    reservation_id: str
    expired_at: int  # seconds since 1970, UTC

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} expired at {self.expired_at}"


@dataclass(eq=False)
class ReservationClosed(Refused):
    """The reservation is released or fulfilled: nothing of it can change any more."""

    reason = "RESERVATION_CLOSED"
    reservation_id: str
    state: str

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} is {self.state}"


@dataclass(eq=False)
class ReservationConfirmed(Refused):
    """The reservation is confirmed already: it cannot be confirmed again or extended."""

    reason = "RESERVATION_CONFIRMED"
    reservation_id: str

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} is confirmed already"


@dataclass(eq=False)
class ReservationNotConfirmed(Refused):
    """The reservation is not confirmed yet: it cannot be fulfilled."""

    reason = "RESERVATION_NOT_CONFIRMED"
    reservation_id: str

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} is not confirmed yet"


@dataclass(eq=False)
class QuantityExceedsOpen(Refused):
    """More units were named than the line still has open (at that location, where one was named)."""

    reason = "QUANTITY_EXCEEDS_OPEN"
    reservation_id: str
    line_id: str
    wanted: int
    open: int

    def __str__(self) -> str:
        return f"line {self.line_id!r} of {self.reservation_id!r} has {self.open} units open, not {self.wanted}"


@dataclass(eq=False)
class TimeToLiveTooLong(Refused):
    """The wanted time to live is longer than the channel allows."""

    reason = "TIME_TO_LIVE_TOO_LONG"
    channel: str
    wanted_seconds: int
    seconds_max: int

    def __str__(self) -> str:
        return f"channel {self.channel!r} may hold for {self.seconds_max} s at most, not {self.wanted_seconds} s"


@dataclass(eq=False)
class QuantityOutOfRange(Refused):
    """The sum would leave the range of 0 to 2^53-1 units."""

    reason = "QUANTITY_OUT_OF_RANGE"
    sku: str
    location: str
    on_hand: int
    quantity: int

    def __str__(self) -> str:
        return f"{self.on_hand} {self.sku} on hand at {self.location} cannot change by {self.quantity}"


@dataclass(eq=False)
class CountTooOld(Refused):
    """The count is older than the window in which the movements after it are remembered."""

    reason = "COUNT_TOO_OLD"
    sku: str
    location: str
    occurred_at_ms: int
    oldest_ms: int

    def __str__(self) -> str:
        return f"the count of {self.sku} at {self.location} is older than the window for counts"


@dataclass(eq=False)
class NetworkMissing(Refused):
    """No network was applied yet."""

    reason = "NETWORK_MISSING"

    def __str__(self) -> str:
        return "no network is applied yet: invengine network apply FILE"


class Stale(InventoryError):
    """A count of the position says more than this movement; it changed nothing."""


@dataclass(eq=False)
class OlderCount(Stale):
    """A newer count of the position is applied already."""

    reason = "OLDER_COUNT"
    sku: str
    location: str
    counted_at_ms: int

    def __str__(self) -> str:
        return f"{self.sku} at {self.location} has a newer count already"


@dataclass(eq=False)
class CoveredByCount(Stale):
    """The position was counted after this movement happened, so the count contains it."""

    reason = "COVERED_BY_COUNT"
    sku: str
    location: str
    counted_at_ms: int

    def __str__(self) -> str:
        return f"{self.sku} at {self.location} was counted after this happened"


@dataclass(eq=False)
class ReservationExists(InventoryError):
    """The reservation_id belongs to another reservation."""

    reason = "RESERVATION_EXISTS"
    reservation_id: str

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} exists already"


@dataclass(eq=False)
class ReceiptNotFound(NotFound):
    """No incoming receipt of this reference is open for the SKU at the location."""

    reason = "RECEIPT_NOT_FOUND"
    receipt_id: str
    sku: str
    location: str

    def __str__(self) -> str:
        return f"no receipt {self.receipt_id!r} of SKU {self.sku!r} is expected at {self.location!r}"


@dataclass(eq=False)
class ReturnNotFound(NotFound):
    """No such return, or everything of it was disposed of so long ago that it is forgotten; or it has no such line."""

    reason = "RETURN_NOT_FOUND"
    return_id: str
    line_id: str = ""

    def __str__(self) -> str:
        if self.line_id:
            return f"return {self.return_id!r} has no line {self.line_id!r}"
        return f"return {self.return_id!r} is not known"


@dataclass(eq=False)
class PlanNotFound(NotFound):
    """No such plan of a wave, or it was over so long ago that it is forgotten."""

    reason = "PLAN_NOT_FOUND"
    plan_id: str

    def __str__(self) -> str:
        return f"plan {self.plan_id!r} is not known"


@dataclass(eq=False)
class ReturnExists(InventoryError):
    """The return_id belongs to another return."""

    reason = "RETURN_EXISTS"
    return_id: str

    def __str__(self) -> str:
        return f"return {self.return_id!r} exists already"


@dataclass(eq=False)
class QuantityExceedsFulfilled(Refused):
    """More units would come back than left and did not come back yet; `line_id` is that of the return."""

    reason = "QUANTITY_EXCEEDS_FULFILLED"
    line_id: str
    sku: str
    wanted: int
    fulfilled: int
    returned: int
    reservation_id: str = ""
    order_ref: str = ""

    def __str__(self) -> str:
        whose = f"order {self.order_ref!r}" if self.order_ref else f"reservation {self.reservation_id!r}"
        return (
            f"{self.wanted} {self.sku} cannot come back: {self.fulfilled} of {whose} were fulfilled, "
            f"{self.returned} came back before"
        )


@dataclass(eq=False)
class TooManyParcels(Refused):
    """The units are there, but in more places than the caller allows; `parcels` places would do."""

    reason = "TOO_MANY_PARCELS"
    parcels_max: int
    parcels: int

    def __str__(self) -> str:
        return f"the lines would come from {self.parcels} locations, at most {self.parcels_max} are allowed"


@dataclass(eq=False)
class NoPlan(Refused):
    """No plan was found for a basket whose lines could each be had.

    `cause`: TOGETHER, they take the same units or capacity, and no plan has them all; UNDECIDED, the search ended after
    `nodes` without a plan and without a proof that there is none; TOO_LARGE, quantities and costs that cannot be
    counted.
    """

    reason = "NO_PLAN"
    cause: str
    nodes: int

    def __str__(self) -> str:
        texts = {
            "TOGETHER": "each line could be had, but not all of them together",
            "UNDECIDED": f"no plan was found within {self.nodes} nodes, which does not prove that there is none",
            "TOO_LARGE": "quantities and costs are too large to be counted",
        }
        return texts.get(self.cause, self.cause)


@dataclass(eq=False)
class PromiseTooLate(Refused):
    """A line cannot be there by the day that the caller needs it; `earliest_day`, since 1970, is the first that does.

    Of several lines the one that comes last.
    """

    reason = "PROMISE_TOO_LATE"
    line_id: str
    sku: str
    needed_by_day: int
    earliest_day: int

    @property
    def metadata(self) -> dict[str, str]:
        """The days as ISO 8601 too."""
        days = {"needed_by": iso_day(self.needed_by_day), "earliest": iso_day(self.earliest_day)}
        return super().metadata | days

    def __str__(self) -> str:
        earliest, needed_by = iso_day(self.earliest_day), iso_day(self.needed_by_day)
        return f"line {self.line_id} ({self.sku}) can be there on {earliest}, not by {needed_by}"


@dataclass(eq=False)
class CapacityExhausted(Refused):
    """No day that can be promised has room for a line at the location."""

    reason = "CAPACITY_EXHAUSTED"
    line_id: str
    sku: str
    location: str

    def __str__(self) -> str:
        return f"no day has capacity left at {self.location} for line {self.line_id} ({self.sku})"


@dataclass(eq=False)
class PromiseUnknown(Refused):
    """No date can be promised for a line; `problem` names what the network file lacks."""

    reason = "PROMISE_UNKNOWN"
    line_id: str
    sku: str
    problem: str

    def __str__(self) -> str:
        return f"no date can be promised for line {self.line_id} ({self.sku}): {self.problem}"


@dataclass(eq=False)
class TooManyProfiles(Refused):
    """As many profiles, or versions of all of them together, are kept as can be: none is ever removed."""

    reason = "TOO_MANY_PROFILES"
    what: str  # profiles, or versions of profiles
    most: int

    def __str__(self) -> str:
        return f"{self.most} {self.what} are kept already, which is the most"


@dataclass(eq=False)
class PlanStale(Refused):
    """The plan of a wave was not committed in time; nothing of it was done."""

    reason = "PLAN_STALE"
    plan_id: str
    seconds: int

    def __str__(self) -> str:
        return f"plan {self.plan_id!r} was to be committed {self.seconds} s ago at the latest"


@dataclass(eq=False)
class LineExists(InventoryError):
    """The line_id of a line to add belongs to a line of the reservation, perhaps to one that was removed."""

    reason = "LINE_EXISTS"
    reservation_id: str
    line_id: str

    def __str__(self) -> str:
        return f"reservation {self.reservation_id!r} has a line {self.line_id!r} already"


@dataclass(eq=False)
class TransferNotFound(NotFound):
    """No such transfer, or it was closed so long ago that it is forgotten."""

    reason = "TRANSFER_NOT_FOUND"
    transfer_id: str

    def __str__(self) -> str:
        return f"transfer {self.transfer_id!r} does not exist"


@dataclass(eq=False)
class TransferClosed(Refused):
    """Nothing of the transfer is left to ship, to cancel or to receive."""

    reason = "TRANSFER_CLOSED"
    transfer_id: str

    def __str__(self) -> str:
        return f"transfer {self.transfer_id!r} has nothing left for this"


@dataclass(eq=False)
class TransferExists(InventoryError):
    """The transfer_id is in use: by another transfer, by a reservation, or by a receipt at the destination."""

    reason = "TRANSFER_EXISTS"
    transfer_id: str

    def __str__(self) -> str:
        return f"transfer_id {self.transfer_id!r} is in use"


@dataclass(eq=False)
class DayNotRecorded(Refused):
    """The change log does not reach back to a day; `first_day`, since 1970, is the first of which it tells all."""

    reason = "DAY_NOT_RECORDED"
    day: int
    first_day: int

    @property
    def metadata(self) -> dict[str, str]:
        """The days as ISO 8601 too."""
        return super().metadata | {"date": iso_day(self.day), "first_date": iso_day(self.first_day)}

    def __str__(self) -> str:
        days = f"days from {iso_day(self.first_day)} on can be told"
        return f"the log of changes does not reach back to {iso_day(self.day)}: {days}"


@dataclass(eq=False)
class HandlesUnknown(Refused):
    """The handles of SKUs are not this server's, or not any more: ask by SKU again."""

    reason = "HANDLES_UNKNOWN"

    def __str__(self) -> str:
        return "the handles mean nothing to this server, or not any more: ask by SKU"


@dataclass(eq=False)
class OfTransfer(Refused):
    """The reservation or receipt belongs to a transfer: only the calls for transfers change it so."""

    reason = "OF_TRANSFER"
    transfer_id: str

    def __str__(self) -> str:
        return f"{self.transfer_id!r} is a transfer: it is changed by the calls for transfers"


@dataclass(eq=False)
class RevisionMismatch(InventoryError):
    """The record (position, reservation or network) changed since the revision that the caller saw."""

    reason = "REVISION_MISMATCH"
    expected_revision: int
    revision: int

    def __str__(self) -> str:
        return f"revision is {self.revision}, not {self.expected_revision}"


@dataclass(frozen=True)
class NetworkFault:
    """One fault of a document; `line` counts from 1, 0 when no line is to blame."""

    line: int
    path: str
    problem: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.path}: {self.problem}" if self.line else f"{self.path}: {self.problem}"


@dataclass(eq=False)
class DocumentInvalid(InventoryError):
    """A planner's document has faults; each is named with its line. Nothing was applied."""

    faults: tuple[NetworkFault, ...]

    @property
    def metadata(self) -> dict[str, str]:
        """The first fault, and how many there are."""
        first = self.faults[0]
        return {"faults": str(len(self.faults)), "line": str(first.line), "path": first.path, "problem": first.problem}

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


@dataclass(eq=False)
class NetworkInvalid(DocumentInvalid):
    """The network document has faults; each is named with its line. Nothing was applied."""

    reason = "NETWORK_INVALID"


@dataclass(eq=False)
class ProfileInvalid(DocumentInvalid):
    """The document of a sourcing profile has faults; each is named with its line. Nothing was kept."""

    reason = "PROFILE_INVALID"


@dataclass(eq=False)
class TransitInvalid(InventoryError):
    """The document of learnt transit times has a fault; nothing was applied."""

    reason = "TRANSIT_INVALID"
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(eq=False)
class OutcomeUnknown(InventoryError):
    """The write was sent and nobody knows whether it was done: repeat it with the same request_id."""

    reason = "OUTCOME_UNKNOWN"
    detail: str = ""

    def __str__(self) -> str:
        return f"the outcome is not known ({self.detail}); repeat with the same request_id"


class Unavailable(InventoryError):
    """Nothing was changed; the same call may work in a moment."""

    retry_after_seconds: ClassVar[float] = 0.5


@dataclass(eq=False)
class StoreUnavailable(Unavailable):
    """Redis cannot be reached, is loading its data, or is busy."""

    reason = "STORE_UNAVAILABLE"
    detail: str = ""

    def __str__(self) -> str:
        return f"the store is not available: {self.detail}"


@dataclass(eq=False)
class ReplicaBehind(Unavailable):
    """The replica did not reach the wanted freshness in time."""

    reason = "REPLICA_BEHIND"
    waited_seconds: float = 0.0

    def __str__(self) -> str:
        return f"the replica is behind; waited {self.waited_seconds:.1f} s"


@dataclass(eq=False)
class ShuttingDown(Unavailable):
    """The server is stopping and takes no new work."""

    reason = "SHUTTING_DOWN"

    def __str__(self) -> str:
        return "the server is stopping"


class Exhausted(InventoryError):
    """Something is used up; nothing was changed."""

    retry_after_seconds: ClassVar[float] = 1.0


@dataclass(eq=False)
class StoreFull(Exhausted):
    """Redis is out of memory or disk for new units of work; giving stock back still works."""

    reason = "STORE_FULL"
    detail: str = ""

    def __str__(self) -> str:
        return f"the store is full: {self.detail}"


@dataclass(eq=False)
class Overloaded(Exhausted):
    """More work is queued, or more callers watch, than the server takes."""

    reason = "OVERLOADED"
    queued: int = 0
    what: str = "calls are queued"

    def __str__(self) -> str:
        return f"{self.queued} {self.what}; try again later"


@dataclass(eq=False)
class RateLimited(Exhausted):
    """The caller's token makes more calls than it may."""

    reason = "RATE_LIMITED"
    token: str
    retry_after_ms: int

    @property
    def retry_after_seconds(self) -> float:  # type: ignore[override]  # here it depends
        """When the next call can be taken."""
        return self.retry_after_ms / 1000

    def __str__(self) -> str:
        return f"token {self.token} makes more calls than it may; the next one in {self.retry_after_ms} ms"


@dataclass(eq=False)
class Unauthenticated(InventoryError):
    """The call has no token or certificate that is valid now. Nobody is told which: a guesser would learn from it."""

    reason = "UNAUTHENTICATED"

    def __str__(self) -> str:
        return "no valid token came with the call"


class NotAllowed(InventoryError):
    """The caller is known, and may not do this."""


@dataclass(eq=False)
class RoleMissing(NotAllowed):
    """The token has no role that may call the method."""

    reason = "ROLE_MISSING"
    token: str
    method: str
    role: str

    def __str__(self) -> str:
        return f"token {self.token} has not the role {self.role}, which {self.method} takes"


@dataclass(eq=False)
class ChannelNotAllowed(NotAllowed):
    """The token speaks for one channel, and the request names another."""

    reason = "CHANNEL_NOT_ALLOWED"
    token: str
    channel: str

    def __str__(self) -> str:
        return f"token {self.token} does not speak for channel {self.channel!r}"


@dataclass(eq=False)
class TokenNotFound(NotFound):
    """No token has this id, or it is forgotten."""

    reason = "TOKEN_NOT_FOUND"
    token_id: str

    def __str__(self) -> str:
        return f"token {self.token_id!r} is not known"


@dataclass(eq=False)
class TooManyTokens(Refused):
    """As many tokens are kept as can be."""

    reason = "TOO_MANY_TOKENS"
    most: int

    def __str__(self) -> str:
        return f"{self.most} tokens are kept already; those that ended are forgotten after 90 days"


@dataclass(eq=False)
class InternalError(InventoryError):
    """A fault of the engine; the log has it in full under `incident`."""

    reason = "INTERNAL"
    incident: str = ""

    def __str__(self) -> str:
        return f"internal error {self.incident}"


def iso_day(day: int) -> str:
    """A day since 1970 as ISO 8601."""
    return (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def all_refusals() -> dict[str, type[InventoryError]]:
    """Every concrete refusal by its word."""
    found: dict[str, type[InventoryError]] = {}
    families: list[type[InventoryError]] = [InventoryError]
    while families:
        for kind in families.pop().__subclasses__():
            families.append(kind)
            if kind.reason:
                found[kind.reason] = kind
    return dict(sorted(found.items()))
