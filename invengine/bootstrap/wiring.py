"""Builds the services on what is open, and the servicers on the services."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invengine.metrics import Metrics
from invengine.replica.clock import StoreClock
from invengine.replica.replica import Replica
from invengine.rpc import incoming_servicers, transfer_servicers
from invengine.rpc.admin_servicer import AdminServicer
from invengine.rpc.allocation_servicer import AllocationServicer
from invengine.rpc.availability_servicer import AvailabilityServicer
from invengine.rpc.network_servicer import NetworkServicer
from invengine.rpc.reservation_servicer import ReservationServicer
from invengine.rpc.return_servicer import ReturnServicer
from invengine.rpc.stock_servicer import StockServicer
from invengine.services.availability import Availability
from invengine.services.available_to_promise import AvailableToPromise
from invengine.services.background import Background
from invengine.services.basket_plans import BasketPlans
from invengine.services.broken import BrokenPromises
from invengine.services.broken_dates import KeptDates
from invengine.services.broken_scan import BrokenScan
from invengine.services.broken_told import BrokenTold
from invengine.services.current_dating import CurrentDating
from invengine.services.explanations import Explanations
from invengine.services.feeds import Feeds
from invengine.services.incoming import Incoming
from invengine.services.integrity import Integrity
from invengine.services.lead import Lead
from invengine.services.ledgers import Ledgers
from invengine.services.networks import Networks
from invengine.services.planning import Planning
from invengine.services.position_pages import PositionPages
from invengine.services.positions import Positions
from invengine.services.profiles import Profiles
from invengine.services.promises import Promises
from invengine.services.promising import Promising
from invengine.services.repromise_keeping import Keeping
from invengine.services.repromise_moves import Moves
from invengine.services.repromising import Repromising
from invengine.services.reservations import Reservations
from invengine.services.returns import Returns
from invengine.services.scarcity import Scarcity
from invengine.services.shortfalls import Shortfalls
from invengine.services.snapshots import Snapshots
from invengine.services.sourcing_plans import SourcingPlans
from invengine.services.stock import Stock
from invengine.services.tokens import Tokens
from invengine.services.transfers import Transfers
from invengine.services.transit_times import LearntTransit
from invengine.services.watching import Watching
from invengine.store.redis_store import RedisStore

if TYPE_CHECKING:
    from invengine.settings import Settings


@dataclass(frozen=True, slots=True)
class Foundations:
    """What every service stands on: open, loaded, and followed in the background."""

    settings: Settings
    store: RedisStore
    replica: Replica
    clock: StoreClock
    networks: Networks
    transit: LearntTransit
    profiles: Profiles
    scarcity: Scarcity
    tokens: Tokens
    metrics: Metrics
    background: Background
    lead: Lead
    stack: AsyncExitStack


@dataclass(frozen=True, slots=True)
class Wired:
    """What answers calls, and the services that an engine shows to whoever runs it."""

    servicers: Mapping[str, object]
    transfers: Transfers
    broken_promises: BrokenPromises


def wire(base: Foundations) -> Wired:
    """Builds what answers each service of the contract; the stack of `base` closes what has to be closed."""
    settings, stack, metrics, background = base.settings, base.stack, base.metrics, base.background
    store, replica, clock, networks = base.store, base.replica, base.clock, base.networks
    transit, profiles, scarcity = base.transit, base.profiles, base.scarcity
    queue_max, dates = settings.queued_calls_max, CurrentDating(replica, clock, lambda: transit.times)
    plans = SourcingPlans(replica, dates.of, scarcity)
    reservations = Reservations(
        store, replica, clock, networks, metrics, profiles=profiles, plans=plans, dates=dates, queue_max=queue_max
    )
    stack.push_async_callback(reservations.close)
    planning = Planning(
        store,
        replica,
        clock,
        networks,
        transit=transit,
        reservations=reservations,
        profiles=profiles,
        scarcity=scarcity,
        plans=plans,
        dates=dates,
    )
    stack.push_async_callback(planning.close)
    stock = Stock(store, replica, clock, networks, metrics, queue_max=queue_max)
    stack.push_async_callback(stock.close)
    snapshots = Snapshots(store, replica, clock, networks, metrics)
    stack.push_async_callback(snapshots.close)
    feeds = Feeds(store, replica, clock, networks, metrics)
    stack.push_async_callback(feeds.close)
    broken_scan = BrokenScan(store, replica, clock, networks, KeptDates(replica, clock, networks, transit))
    incoming = Incoming(store, replica, clock, networks, metrics, told=BrokenTold(broken_scan), queue_max=queue_max)
    stack.push_async_callback(incoming.close)
    transfers = Transfers(store, replica, clock, incoming, metrics, queue_max=queue_max)
    stack.push_async_callback(transfers.close)
    background.run("transfers", transfers.run(base.lead))
    broken_promises = BrokenPromises(store, replica, broken_scan, metrics, lead=base.lead)
    background.run("broken promises", broken_promises.run())
    returns = Returns(store, replica, clock, networks, metrics, queue_max=queue_max)
    stack.push_async_callback(returns.close)
    watching = Watching(
        replica,
        store,
        clock,
        networks,
        metrics,
        promises=broken_promises,
        watchers_max=settings.watchers_max,
        tick_seconds=settings.watch_tick_ms / 1000,
        heartbeat_seconds=settings.watch_heartbeat_seconds,
    )
    background.run("watching", watching.run())
    background.run("watched promises", watching.run_promises())
    answering = {
        "invengine.v1.AdminService": AdminServicer(
            Integrity(store, replica, clock, metrics, log_entries_kept=settings.log_entries_max), base.tokens
        ),
        "invengine.v1.AllocationService": AllocationServicer(
            profiles=profiles,
            baskets=BasketPlans(store, replica, clock, networks, profiles, plans=plans, metrics=metrics),
            planning=planning,
            replica=replica,
        ),
        "invengine.v1.AvailabilityService": AvailabilityServicer(
            Availability(replica, store, clock, networks, metrics),
            Explanations(replica, store, clock, networks),
            AvailableToPromise(replica, store, clock, networks),
            watching,
        ),
        "invengine.v1.IncomingService": incoming_servicers.IncomingServicer(incoming),
        "invengine.v1.NetworkService": NetworkServicer(
            networks, transit, replica, shortfalls=Shortfalls(store, replica, clock, networks)
        ),
        "invengine.v1.PromiseService": incoming_servicers.PromiseServicer(
            Promises(store, broken_scan),
            Promising(
                store, replica, clock, networks, transit=transit, metrics=metrics, profiles=profiles, plans=plans
            ),
            Repromising(
                store,
                networks,
                broken_scan,
                keeping=Keeping(networks, reservations),
                moves=Moves(replica, clock, networks, broken_scan.dates, reservations),
            ),
        ),
        "invengine.v1.ReservationService": ReservationServicer(reservations),
        "invengine.v1.ReturnService": ReturnServicer(returns),
        "invengine.v1.StockService": StockServicer(
            stock,
            Positions(store, replica, clock, networks),
            PositionPages(store, replica, clock, networks),
            Ledgers(store, networks),
            feeds=feeds,
            snapshots=snapshots,
        ),
        "invengine.v1.TransferService": transfer_servicers.TransferServicer(transfers),
    }
    return Wired(answering, transfers, broken_promises)
