"""What each method takes: the role that may call it, whether it writes, and where its request names a channel.

One table for the whole contract. A method that is not in it is not served.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from invengine.domain.tokens import Role


class Speaks(Enum):
    """What the channel in a request means, to a token that speaks for one channel."""

    AS = "as"
    """Who asks: left empty it becomes the token's own, another one is refused."""
    OF = "of"
    """Whom it is about: another one is refused, and empty stays empty."""
    FREELY = "freely"
    """A filter, or whom something is handed to: anything goes."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What one method takes. `channels`: by the place of the field in the request, `orders.channel`. `is_signed`: its
    request has a field `actor`, which a token fills in.
    """

    role: Role
    writes: bool = False
    channels: tuple[tuple[str, Speaks], ...] = ()
    is_signed: bool = False


_AS: Final = (("channel", Speaks.AS),)
_OF: Final = (("channel", Speaks.OF),)
_FREELY: Final = (("channel", Speaks.FREELY),)

_READ: Final = Permission(Role.READ)
_ASK: Final = Permission(Role.READ, channels=_AS)
_FILTER: Final = Permission(Role.READ, channels=_FREELY)
_RESERVE: Final = Permission(Role.RESERVE, writes=True, channels=_AS)
_FEED: Final = Permission(Role.FEED, writes=True)
_MOVE: Final = Permission(Role.FEED, writes=True, channels=(("movements.channel", Speaks.OF),))
_PLAN: Final = Permission(Role.PLAN, writes=True)
_ADMIN: Final = Permission(Role.ADMIN, writes=True)

_BY_SERVICE: Final = {
    "AdminService": {
        "CheckIntegrity": Permission(Role.ADMIN),
        "IssueToken": Permission(Role.ADMIN, writes=True, channels=_FREELY),
        "RevokeToken": _ADMIN,
        "ListTokens": Permission(Role.ADMIN),
    },
    "AllocationService": {
        "PutProfile": Permission(Role.PLAN, writes=True, is_signed=True),
        "GetProfile": _READ,
        "ListProfiles": _READ,
        "ActivateProfile": Permission(Role.PLAN, writes=True, channels=_OF, is_signed=True),
        "ListProfileActivations": _FILTER,
        "ResourceShortfalls": Permission(Role.PLAN, writes=True, channels=_OF),
        "SuggestTransfers": Permission(Role.PLAN),
        "WhatIf": Permission(Role.PLAN, channels=(("orders.channel", Speaks.OF),)),
        "PlanBasket": _ASK,
        "PlanWave": Permission(
            Role.PLAN,
            writes=True,
            channels=(
                ("orders.channel", Speaks.OF),
                ("waiting.channel", Speaks.OF),
                ("minimum_shares.channel", Speaks.OF),
            ),
        ),
        "GetPlan": _READ,
        "CommitPlan": _PLAN,
    },
    "AvailabilityService": {
        "GetAvailability": _ASK,
        "BatchGetAvailability": _ASK,
        "StreamAvailability": Permission(Role.READ, channels=(("channel", Speaks.AS), ("queries.channel", Speaks.AS))),
        "WatchAvailability": _ASK,
        "ExplainAvailability": _ASK,
        "GetAvailableToPromise": _ASK,
    },
    "IncomingService": {
        "SetIncoming": _FEED,
        "SlipIncoming": _FEED,
        "CancelIncoming": _FEED,
        "ReceiveIncoming": _FEED,
        "ListIncoming": _READ,
    },
    "NetworkService": {
        "ApplyNetwork": _PLAN,
        "GetNetwork": _READ,
        "GetCalendar": _READ,
        "ApplyTransitTimes": _PLAN,
        "GetTransitTimes": _READ,
        "ListTransitLanes": _READ,
        "ListShortfalls": _FILTER,
    },
    "PromiseService": {
        "GetPromise": _ASK,
        "BatchGetPromise": _ASK,
        "ListBrokenPromises": _FILTER,
        "Repromise": Permission(Role.PLAN, writes=True, channels=(("filter.channel", Speaks.OF),)),
    },
    "ReservationService": {
        "CreateReservation": _RESERVE,
        "BatchCreateReservations": Permission(Role.RESERVE, writes=True, channels=(("requests.channel", Speaks.AS),)),
        "GetReservation": _ASK,
        "ListReservations": _FILTER,
        "ConfirmReservation": _RESERVE,
        "ExtendReservation": _RESERVE,
        "ReleaseReservation": _RESERVE,
        "FulfilReservation": _RESERVE,
        "AmendReservation": _RESERVE,
        "RebindReservation": _RESERVE,
        "HandOverReservation": Permission(
            Role.RESERVE, writes=True, channels=(("channel", Speaks.AS), ("to_channel", Speaks.FREELY))
        ),
    },
    "ReturnService": {
        "ReceiveReturn": _RESERVE,
        "DisposeReturn": _RESERVE,
        "GetReturn": _ASK,
        "ListReturns": _ASK,
    },
    "StockService": {
        "PostMovements": _MOVE,
        "StreamMovements": _MOVE,
        "ListFeeds": _READ,
        "ApplySnapshot": _FEED,
        "GetPosition": _READ,
        "ListMovements": _READ,
        "ListPositions": _READ,
        "ExportMovements": _READ,
    },
    "TransferService": {
        "CreateTransfer": _PLAN,
        "GetTransfer": _READ,
        "ListTransfers": _READ,
        "ShipTransfer": _FEED,
        "ReceiveTransfer": _FEED,
        "CancelTransfer": _PLAN,
    },
}

PERMISSIONS: Final = {
    f"/invengine.v1.{service}/{method}": permission
    for service, methods in _BY_SERVICE.items()
    for method, permission in methods.items()
}
"""By the path of the method."""
