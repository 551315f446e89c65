"""What planners do about stock that many wait for: the use cases of AllocationService that are here, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invengine.services.rebalancing import Rebalancing
from invengine.services.resourcing import Resourcing
from invengine.services.shortfalls import Shortfalls
from invengine.services.wave_allocation import allocate
from invengine.services.waves import Waves
from invengine.services.what_if import WhatIf

if TYPE_CHECKING:
    from invengine.replica.clock import StoreClock
    from invengine.replica.replica import Replica
    from invengine.services.current_dating import CurrentDating
    from invengine.services.networks import Networks
    from invengine.services.profiles import Profiles
    from invengine.services.reservations import Reservations
    from invengine.services.scarcity import Scarcity
    from invengine.services.sourcing_plans import SourcingPlans
    from invengine.services.transit_times import LearntTransit
    from invengine.store.redis_store import RedisStore


class Planning:
    """Of one engine."""

    def __init__(
        self,
        store: RedisStore,
        replica: Replica,
        clock: StoreClock,
        networks: Networks,
        *,
        transit: LearntTransit,
        reservations: Reservations,
        profiles: Profiles,
        scarcity: Scarcity,
        plans: SourcingPlans,
        dates: CurrentDating,
    ) -> None:
        shortfalls = Shortfalls(store, replica, clock, networks)
        self.resourcing = Resourcing(
            store,
            replica,
            clock,
            networks,
            shortfalls=shortfalls,
            reservations=reservations,
            dates=dates,
            profiles=profiles,
            plans=plans,
        )
        self.rebalancing = Rebalancing(store, replica, clock, networks, rates=scarcity)
        self.what_if = WhatIf(store, replica, clock, networks, transit=transit, profiles=profiles, scarcity=scarcity)
        self.waves = Waves(
            store,
            replica,
            clock,
            networks,
            reservations,
            dates=dates,
            profile_of=profiles.get,
            allocate=allocate,
        )

    async def close(self) -> None:
        """Ends what was begun, as far as it must be ended."""
        await self.waves.close()
