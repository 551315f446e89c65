"""Wires the engine and runs it: the only module that opens connections. Importing it opens none.

Start:  listen (health: NOT_SERVING) -> Redis -> store -> network -> replica -> serve (health: SERVING)
Stop:   NOT_SERVING -> streams end -> accepted calls are answered -> queues, sweeper, follower -> Redis
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvloop
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from invengine import __version__, kernels
from invengine.errors import InventoryError
from invengine.metrics import Metrics
from invengine.replica.clock import StoreClock
from invengine.replica.follower import Follower
from invengine.replica.replica import Replica
from invengine.rpc import incoming_servicers, servicers, transfer_servicers
from invengine.rpc.allocation_servicer import AllocationServicer
from invengine.rpc.availability_servicer import AvailabilityServicer
from invengine.rpc.logs import configure_logging
from invengine.rpc.metrics_http import MetricsHttp
from invengine.rpc.network_servicer import NetworkServicer
from invengine.rpc.reservation_servicer import ReservationServicer
from invengine.rpc.return_servicer import ReturnServicer
from invengine.rpc.server import AddressTaken, Server
from invengine.rpc.stock_servicer import StockServicer
from invengine.services import figures
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
from invengine.services.sweeper import Sweeper
from invengine.services.transfers import Transfers
from invengine.services.transit_times import LearntTransit
from invengine.services.watching import Watching
from invengine.settings import split_address
from invengine.store.embedded import EmbeddedRedis
from invengine.store.embedded_folder import EmbeddedError
from invengine.store.opening import open_topology
from invengine.store.records import LogTrimmed, Replication, StoreSettings
from invengine.store.redis_store import RedisStore
from invengine.store.topology import StoreUnsuitable, Topology

if TYPE_CHECKING:
    from invengine.settings import Settings

logger = logging.getLogger(__name__)


class Broken(Exception):
    """The engine cannot start or go on; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """An engine that serves. `broken` gets the sentence when it cannot go on."""

    addresses: tuple[str, ...]
    metrics_address: str
    metrics: Metrics
    store: RedisStore
    replica: Replica
    sweeper: Sweeper
    transfers: Transfers
    broken_promises: BrokenPromises
    broken: asyncio.Future[str]

    @property
    def address(self) -> str:
        """The first address, as gRPC clients take it."""
        return self.addresses[0]


def serve(settings: Settings) -> None:
    """Runs the engine until SIGTERM or SIGINT. Broken when it cannot start or go on."""
    configure_logging(settings.log_level, as_json=settings.log_json)
    uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    main = asyncio.current_task()
    assert main is not None
    started = False

    def signalled() -> None:
        stop.set()
        if not started:
            main.cancel()

    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, signalled)
    try:
        async with running(settings) as engine:
            started = True
            logger.info(
                "invengine %s serving on %s; metrics on %s",
                __version__,
                ", ".join(engine.addresses),
                engine.metrics_address or "no address",
            )
            engine.broken.add_done_callback(lambda _: stop.set())
            gc.collect()
            gc.freeze()  # what was imported and loaded stays: no collection needs to look at it again
            await stop.wait()
            logger.info("stopping")
        if engine.broken.done():
            raise Broken(engine.broken.result())
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        logger.info("stopped before it was serving")
    else:
        logger.info("stopped")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """An engine that serves until the block is left. Broken when it cannot start; then nothing is left running."""
    async with AsyncExitStack() as stack:
        try:
            engine = await _start(settings, stack)
        except (AddressTaken, EmbeddedError, StoreUnsuitable, InventoryError) as fault:
            raise Broken(str(fault)) from fault
        yield engine


async def _start(settings: Settings, stack: AsyncExitStack) -> Running:
    """Starts the parts in order; `stack` stops them in the opposite order."""
    kernels.warm_up()
    broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    background = Background(broken)
    metrics = _metrics()
    server = Server(settings, servicers.SERVICES, [path for path, _ in servicers.methods()])
    stack.push_async_callback(server.stop)
    await server.start()
    metrics_address = await _start_metrics(settings, metrics, server, stack)
    topology = await _open_topology(settings, background, stack)
    store = await RedisStore.open(topology, partitions=settings.partitions, settings=_store_settings(settings))
    clock = StoreClock(on_step=lambda _: metrics.clock_steps.inc())
    metrics.clock_ahead.set_function(lambda: clock.ahead_seconds)
    store.go_by(clock.for_call)
    replica = Replica(store.partitions, store.store_id)
    networks, transit, profiles = await _load_documents(store, replica, clock)
    follower = Follower(
        replica,
        store,
        clock,
        trimmed=LogTrimmed,
        disruptions=lambda: topology.disruptions,
        on_lag=metrics.replica_lag.set,
    )
    await follower.load()
    sweeper = Sweeper(store, replica, metrics)
    scarcity = Scarcity.by(settings, store, replica, networks, metrics)
    stack.push_async_callback(background.stop)
    for name, work in (
        ("follower", follower.run()),
        ("networks", networks.run()),
        ("transit times", transit.run()),
        ("profiles", profiles.run()),
        ("scarcity", scarcity.run()),
        ("sweeper", sweeper.run()),
        ("forgetting", sweeper.run_forgetting()),
        ("figures", figures.keep(store, metrics)),
        ("loop lag", figures.watch_loop(metrics)),
    ):
        background.run(name, work)
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
    background.run("transfers", transfers.run())
    broken_promises = BrokenPromises(store, replica, broken_scan, metrics)
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
    served = servicers.handlers(
        {
            "invengine.v1.AdminService": servicers.AdminServicer(
                Integrity(store, replica, clock, metrics, log_entries_kept=settings.log_entries_max)
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
        },
        server.streams,
        metrics,
    )
    stack.push_async_callback(server.drain)
    server.open(served)
    return Running(
        server.addresses, metrics_address, metrics, store, replica, sweeper, transfers, broken_promises, broken
    )


def _metrics() -> Metrics:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return Metrics(registry)


async def _start_metrics(settings: Settings, metrics: Metrics, server: Server, stack: AsyncExitStack) -> str:
    """Serves /metrics and /healthz; the address as bound, empty where none is wanted."""
    if not settings.metrics_listen:
        return ""
    host, port = split_address(settings.metrics_listen)
    pages = MetricsHttp(metrics.registry, lambda: server.is_serving)
    stack.push_async_callback(pages.stop)
    try:
        port = await pages.start(host, port)
    except OSError as fault:
        raise AddressTaken(f"cannot listen on {settings.metrics_listen}: {fault.strerror or fault}") from None
    return f"{settings.metrics_listen.rpartition(':')[0]}:{port}"


async def _open_topology(settings: Settings, background: Background, stack: AsyncExitStack) -> Topology:
    """The servers of the settings' url, or a Redis of our own. Nothing is connected yet."""
    url = settings.redis_url
    if not url:
        assert settings.durability != "replicated"  # the settings refuse it without a url
        embedded = EmbeddedRedis(settings.data_dir, server=settings.redis_server, durability=settings.durability)
        stack.push_async_callback(embedded.stop)
        url = await embedded.start()
        background.end_with(embedded.broken())
    topology = open_topology(url)
    stack.push_async_callback(topology.aclose)
    return topology


async def _load_documents(
    store: RedisStore, replica: Replica, clock: StoreClock
) -> tuple[Networks, LearntTransit, Profiles]:
    """The documents in force, and the profiles; nothing follows them yet."""
    networks = Networks(store, now_ms=clock.now_ms)
    networks.add_listener(replica.set_network)
    await networks.load()
    transit = LearntTransit(store, networks)
    await transit.load()
    profiles = Profiles(store.profiles, networks)
    await profiles.load()
    return networks, transit, profiles


def _store_settings(settings: Settings) -> StoreSettings:
    return StoreSettings(
        retention_seconds=settings.retention_hours * 3600,
        count_window_seconds=settings.count_window_hours * 3600,
        log_length_max=settings.log_entries_max,
        retry_seconds=settings.store_retry_seconds,
        replication=Replication(
            settings.replicas if settings.durability == "replicated" else 0, settings.replica_seconds
        ),
    )
