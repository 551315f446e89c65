"""How a command ends: the exit codes, and what a person can do about a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from invengine.errors import (
    DocumentInvalid,
    Exhausted,
    InsufficientStock,
    InvalidArgument,
    InventoryError,
    LineExists,
    MalformedMessage,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
    RequestMismatch,
    ReservationExists,
    ReturnExists,
    RevisionMismatch,
    Stale,
    TransferExists,
    TransitInvalid,
    Unauthenticated,
    Unavailable,
)


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    FAILURE = 1
    """Something went wrong that has no code of its own."""
    USAGE = 2
    """Wrong arguments, or input that cannot be read."""
    NOT_FOUND = 3
    """A SKU, location, channel, group, state, service, lane, profile, reservation, receipt, transfer, return or plan
    that nobody knows.
    """
    REFUSED = 4
    """The state of the stock, of a reservation or of the network does not allow it."""
    UNAVAILABLE = 5
    """No server answers, or it cannot work now: the same command may work in a moment."""
    NOT_ALLOWED = 6
    """The server does not know who calls, or the caller may not do this."""
    INTERRUPTED = 130
    """Ctrl-C."""
    BROKEN_PIPE = 141
    """What reads the output has ended: `invengine ... | head`."""


_FAMILIES: Final = (
    ((InvalidArgument, MalformedMessage, RequestMismatch, DocumentInvalid, TransitInvalid), ExitCode.USAGE),
    ((NotFound,), ExitCode.NOT_FOUND),
    (
        (Refused, Stale, ReservationExists, ReturnExists, LineExists, TransferExists, RevisionMismatch),
        ExitCode.REFUSED,
    ),
    ((Unavailable, Exhausted), ExitCode.UNAVAILABLE),
    ((Unauthenticated, NotAllowed), ExitCode.NOT_ALLOWED),
)

ADVICE: Final = {
    "HANDLES_UNKNOWN": "Ask by names again; the Python client does so by itself.",
    "INVALID_ARGUMENT": "",
    "MALFORMED_MESSAGE": "Bring client and server to the same version.",
    "NETWORK_INVALID": "Correct the file; this finds every fault at once: invengine network check FILE.",
    "TRANSIT_INVALID": "Learn it anew: invengine lane learn FILE.",
    "PROFILE_INVALID": "Correct the file and put it again; docs/profiles.md names every term.",
    "INSUFFICIENT_STOCK": "Ask for fewer, name no location to look elsewhere, or reserve what there is with "
    "--best-effort.",
    "REQUEST_MISMATCH": "Use a new --request-id for a new request; repeat the old content under the old one.",
    "UNKNOWN_SKU": "Record its first stock: invengine stock post RECEIPT SKU LOCATION QUANTITY.",
    "UNKNOWN_LOCATION": "See what there is: invengine network show.",
    "UNKNOWN_GROUP": "See what there is: invengine network show.",
    "UNKNOWN_CHANNEL": "See what there is: invengine network show.",
    "UNKNOWN_SERVICE": "See what there is: invengine network show.",
    "UNKNOWN_PROFILE": "See what there is: invengine profile list.",
    "UNKNOWN_STATE": "Use on_hand, quarantine, damaged or a state of the network: invengine network show.",
    "POSITION_NOT_FOUND": "See where the SKU is stocked: invengine availability SKU --channel CHANNEL.",
    "RESERVATION_NOT_FOUND": "Find it by a reference: invengine reservation list --order REFERENCE.",
    "LINE_NOT_FOUND": "See its lines: invengine reservation show ID.",
    "RECEIPT_NOT_FOUND": "See what is expected: invengine incoming list --sku SKU.",
    "TRANSFER_NOT_FOUND": "See what there is: invengine transfer list.",
    "TRANSFER_CLOSED": "See what is left of it: invengine transfer show ID.",
    "TRANSFER_EXISTS": "Choose another --transfer-id, or leave it out.",
    "OF_TRANSFER": "See what can be done: invengine transfer --help.",
    "RETURN_NOT_FOUND": "Find it: invengine return list --order REFERENCE, and its lines: invengine return show ID.",
    "PLAN_NOT_FOUND": "Plan it: invengine wave plan FILE.",
    "PLAN_STALE": "Plan it anew: invengine wave plan FILE.",
    "RETURN_EXISTS": "Choose another --return-id, or leave it out.",
    "QUANTITY_EXCEEDS_FULFILLED": "See what left and came back: invengine reservation show ID.",
    "TOO_MANY_PARCELS": "Allow more with --max-parcels, or take what so few have with --best-effort.",
    "PROMISE_TOO_LATE": "Ask for the date that it tells, for another service, or take the line from elsewhere.",
    "CAPACITY_EXHAUSTED": "Raise the location's capacity in the network file, or take the line from elsewhere.",
    "TOO_MANY_PROFILES": "Activate a version that is there, or put the next one of a profile that is there.",
    "PROMISE_UNKNOWN": "`invengine network check FILE` names what the network file lacks.",
    "DAY_NOT_RECORDED": "Ask about a later day; INVENGINE_LOG_ENTRIES_MAX says how much of the log is kept.",
    "NO_PLAN": "Take lines apart, allow more parcels or split lines, or raise `nodes_max` of the profile.",
    "LOCATION_NOT_USABLE": "Name a location that the channel can use, or leave out --location.",
    "GROUP_NOT_USABLE": "Name a group of the channel, or leave out --group.",
    "CHANNEL_DISABLED": "Switch it on in the network file and apply that.",
    "RESERVATION_EXPIRED": "Reserve anew.",
    "RESERVATION_CLOSED": "Reserve anew.",
    "RESERVATION_NOT_CONFIRMED": "Confirm it first: invengine reservation confirm ID.",
    "QUANTITY_EXCEEDS_OPEN": "See what is open: invengine reservation show ID.",
    "TIME_TO_LIVE_TOO_LONG": "Ask for a shorter --hold-seconds, or raise the channel's longest in the network file.",
    "COUNT_TOO_OLD": "Count again.",
    "COVERED_BY_COUNT": "",
    "OLDER_COUNT": "",
    "QUANTITY_OUT_OF_RANGE": "See what is there: invengine stock show SKU LOCATION.",
    "RESERVATION_CONFIRMED": "See what can be done with it: invengine reservation --help.",
    "RESERVATION_EXISTS": "Choose another --reservation-id, or leave it out.",
    "LINE_EXISTS": "Raise that line with --line, or give the new one another id.",
    "REVISION_MISMATCH": "Read it again and decide anew.",
    "NETWORK_MISSING": "Apply one: invengine network apply FILE.",
    "OUTCOME_UNKNOWN": "Run the command again with the same --request-id: nothing is done twice.",
    "STORE_UNAVAILABLE": "Try again in a moment; if it stays, look at the server's log.",
    "STORE_FULL": "Give Redis more memory or disk; releasing and expiring still work.",
    "REPLICA_BEHIND": "Try again in a moment.",
    "SHUTTING_DOWN": "Try again in a moment.",
    "OVERLOADED": "Try again in a moment.",
    "UNAUTHENTICATED": "Bring a token: --token-file FILE, or set INVENGINE_TOKEN. Who runs the server issues one: "
    "invengine token issue NAME --role read.",
    "ROLE_MISSING": "Ask who runs the server for a token with that role: invengine token issue NAME --role ROLE.",
    "CHANNEL_NOT_ALLOWED": "Name the token's own channel, or leave out --channel.",
    "RATE_LIMITED": "Try again in a moment; a token may be issued with a higher --rate.",
    "TOKEN_NOT_FOUND": "See what there is: invengine token list.",
    "TOO_MANY_TOKENS": "Revoke what is not used: invengine token list. What ended is forgotten after 90 days.",
    "INTERNAL": "The server's log has the details: look for that number.",
}
"""What to do next, by the reason of the refusal; empty where its sentence says that already."""

_OF_STATUS: Final = {
    "DEADLINE_EXCEEDED": (ExitCode.UNAVAILABLE, "Give it more time with --timeout-seconds, or try again in a moment."),
    "RESOURCE_EXHAUSTED": (ExitCode.UNAVAILABLE, "Ask for less at once, or try again in a moment."),
    "UNIMPLEMENTED": (ExitCode.FAILURE, "The server is older than this command: bring both to the same version."),
}
"""How calls end that failed without a refusal of the engine, and what to do next, by gRPC status."""

_MOVEMENT_ADVICE: Final = "See what holds the rest: invengine stock show SKU LOCATION."
_UNREACHABLE_ADVICE: Final = "Start one with: invengine serve. Or say where it is: --server HOST:PORT."


def exit_code_of(error: Exception) -> ExitCode:
    """The exit code that a failed call ends its command with."""
    for family, code in _FAMILIES:
        if isinstance(error, family):
            return code
    return _OF_STATUS.get(_status_of(error), (ExitCode.FAILURE, ""))[0]


def advice_for(error: Exception, *, near: Sequence[str] = (), request_id: str = "") -> str:
    """What to do next, or an empty string where the error says it all.

    `near` are names much like one that nobody knows, `request_id` is that of the write.
    """
    if near:
        return f"Did you mean {' or '.join(near)}?"
    if isinstance(error, InsufficientStock) and not any(line.line_id for line in error.short_lines):
        return _MOVEMENT_ADVICE  # there is no line: it is not a reservation that is short
    if isinstance(error, OutcomeUnknown) and request_id:
        return f"Run the command again with --request-id {request_id}: nothing is done twice."
    if isinstance(error, InventoryError):
        return ADVICE.get(error.reason, "") if error.reason else _UNREACHABLE_ADVICE
    return _OF_STATUS.get(_status_of(error), (ExitCode.FAILURE, ""))[1]


def _status_of(error: Exception) -> str:
    """The gRPC status of a call that failed without a refusal of the engine."""
    return getattr(error, "code", "")


def sentence(error: Exception) -> str:
    """The error for people: what happened, one sentence a line."""
    text = str(error)
    return text[:1].upper() + text[1:]
