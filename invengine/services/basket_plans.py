"""Where a basket would come from, and why: the use case of PlanBasket. Nothing is taken by asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from invengine.domain.orders import Fulfilment
from invengine.domain.partitions import partition_of
from invengine.domain.sourcing import FEWEST_PARCELS, BasketLine
from invengine.errors import InvalidArgument
from invengine.services.freshness import be_fresh
from invengine.services.promising_requests import check_confidence
from invengine.services.reservation_lines import check_lines
from invengine.services.reservation_requests import PARCELS_MAX
from invengine.services.validation import required_id
from invengine.v1 import reservation_service_pb2

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.domain.sourcing import Sourced
    from invengine.metrics import Metrics
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.reservation_lines import CheckedLine
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.store.redis_store import RedisStore
    from invengine.v1 import plan_pb2 as pb

_POLICIES = reservation_service_pb2.CreateReservationRequest.Policy


@dataclass(frozen=True, slots=True)
class BasketAnswer:
    """What sourcing found for the lines, under which profile (None: none), and as of when."""

    lines: Sequence[BasketLine]
    sourced: Sourced
    profile: Profile | None
    currency: str
    now_ms: int
    consistency_token: str
    staleness_ms: int


class BasketPlans:
    """Plans baskets for whoever asks."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        profiles: Profiles,
        *,
        plans: SourcingPlans,
        metrics: Metrics | None = None,
    ) -> None:
        self._store = store
        self._replica = replica
        self._clock = clock
        self._networks = networks
        self._profiles = profiles
        self._plans = plans
        self._seconds = None if metrics is None else metrics.kernel_seconds["plan"]

    async def plan(self, message: pb.PlanBasketRequest, remaining_seconds: float | None = None) -> BasketAnswer:
        """The best plan for a basket and the next one, or why there is none.

        InvalidArgument, NetworkMissing, UnknownChannel, ChannelDisabled, UnknownLocation, LocationNotUsable,
        UnknownGroup, GroupNotUsable, UnknownService, UnknownProfile, ReplicaBehind, StoreUnavailable.
        """
        channel = required_id("channel", message.channel)
        checked = check_lines(message.lines, dated=True)
        best_effort = _check_policy(message.policy)
        parcels_max = message.max_parcels
        if not 0 <= parcels_max <= PARCELS_MAX:
            raise InvalidArgument("max_parcels", f"is {parcels_max}; 1 to {PARCELS_MAX} are allowed")
        confidence_parts = check_confidence(message)
        self._networks.required().channel(channel)
        profile = self._profiles.of_request(message.profile, channel)
        skus = _skus(checked, self._networks.required())
        partitions = {partition_of(sku, self._replica.partitions) for sku in skus}
        await be_fresh(self._store, self._replica, message.consistency, remaining_seconds, partitions)
        began = perf_counter()
        network = self._networks.required()  # nothing is awaited from here on: all of it is of one moment
        lines = basket_of(checked, channel, network)
        now_ms = self._clock.now_ms()
        sourced = self._plans.source(
            lines,
            channel=channel,
            network=network,
            now_ms=now_ms,
            profile=profile or FEWEST_PARCELS,
            best_effort=best_effort,
            parcels_max=parcels_max,
            confidence_parts=confidence_parts,
            explain=message.explain,
        )
        if self._seconds is not None:
            self._seconds.observe(perf_counter() - began)
        return BasketAnswer(
            lines,
            sourced,
            profile,
            network.delivery.currency,
            now_ms,
            self._replica.token(),
            self._replica.staleness_ms(),
        )


def basket_of(lines: Sequence[CheckedLine], channel: str, network: Network) -> list[BasketLine]:
    """Lines as sourcing takes them. InvalidArgument for a kit that may wait; UnknownLocation, LocationNotUsable for a
    store where nobody can collect.
    """
    found = []
    for place, line in enumerate(lines):
        if line.fulfilment is Fulfilment.SHIP_TO_STORE:
            network.pickup_location(line.destination.location, channel)
        if line.allow_backorder and line.sku in network.kits:
            raise InvalidArgument(f"lines[{place}].allow_backorder", f"not for a kit, and {line.sku!r} is one")
        found.append(
            BasketLine(
                line.line_id,
                line.sku,
                line.quantity,
                line.location,
                line.group,
                line.allow_split,
                line.fulfilment,
                line.destination,
                line.service,
                line.needed_by,
                line.allow_backorder,
            )
        )
    return found


def _skus(lines: Sequence[CheckedLine], network: Network) -> set[str]:
    """What the lines take, components in place of kits."""
    found: set[str] = set()
    for line in lines:
        kit = network.kits.get(line.sku)
        found.update([line.sku] if kit is None else [part.sku for part in kit])
    return found


def _check_policy(policy: int) -> bool:
    """Whether what there is will do."""
    if policy not in _POLICIES.values():
        raise InvalidArgument("policy", f"{policy} is not a policy")
    return policy == reservation_service_pb2.CreateReservationRequest.POLICY_BEST_EFFORT
