"""Starts the parts of an engine in order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from invengine import kernels
from invengine.bootstrap.first_token import ensure_admin
from invengine.bootstrap.opening import (
    load_documents,
    new_metrics,
    observing_of,
    open_topology,
    start_metrics,
    store_settings,
)
from invengine.bootstrap.wiring import Foundations, wire
from invengine.metrics import Metrics
from invengine.replica.clock import StoreClock
from invengine.replica.follower import Follower
from invengine.replica.replica import Replica
from invengine.rpc import servicers
from invengine.rpc.admission import Admission
from invengine.rpc.audit import Audit
from invengine.rpc.server import Server
from invengine.services import figures
from invengine.services.background import Background
from invengine.services.broken import BrokenPromises
from invengine.services.lead import Lead
from invengine.services.scarcity import Scarcity
from invengine.services.sweeper import Sweeper
from invengine.services.tokens import Tokens
from invengine.services.transfers import Transfers
from invengine.store.records import LogTrimmed
from invengine.store.redis_store import RedisStore

if TYPE_CHECKING:
    from invengine.settings import Settings


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


async def start(settings: Settings, stack: AsyncExitStack, *, lead: Lead | None = None) -> Running:
    """Starts the parts in order; `stack` stops them in the opposite order.

    lead   of one of several workers: whether it is the one that does what is done once for all
    """
    is_worker, lead = lead is not None, lead or Lead()
    kernels.warm_up()
    broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    background = Background(broken)
    metrics = new_metrics()
    observing = observing_of(settings, metrics, stack)
    server = Server(settings, servicers.SERVICES, [path for path, _ in servicers.methods()], shares_port=is_worker)
    stack.push_async_callback(server.stop)
    if not is_worker:
        await server.start()
    metrics_address = await start_metrics(settings, metrics, server, stack)
    topology = await open_topology(settings, background, metrics, stack)
    store = await RedisStore.open(topology, partitions=settings.partitions, settings=store_settings(settings))
    clock = StoreClock(on_step=lambda _: metrics.clock_steps.inc())
    metrics.queue_max.set(settings.queued_calls_max)
    metrics.redis.replicas_wanted = settings.replicas if settings.durability == "replicated" else 0
    metrics.clock_ahead.set_function(lambda: clock.ahead_seconds)
    store.go_by(clock.for_call)
    replica = Replica(store.partitions, store.store_id)
    networks, transit, profiles = await load_documents(store, replica, clock)
    follower = Follower(
        replica,
        store,
        clock,
        trimmed=LogTrimmed,
        disruptions=lambda: topology.disruptions,
        on_lag=metrics.replica_lag.set,
    )
    await follower.load()
    sweeper = Sweeper(store, replica, metrics, lead=lead)
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
        ("figures", figures.keep(store, metrics, lead)),
        ("figures of the stock", figures.watch_stock(replica, metrics)),
        ("loop lag", figures.watch_loop(metrics)),
    ):
        background.run(name, work)
    tokens = Tokens(store.tokens, now_ms=clock.now_ms, processes=settings.workers)
    admission: Admission | None = None
    if settings.asks_who_calls:
        await ensure_admin(tokens, settings.data_dir)
        admission = Admission(tokens, Audit(), by_certificate=settings.tls_client_ca is not None)
        background.run("tokens", tokens.run())
        background.run("admission", admission.run())
    if not settings.redis_url:
        background.run("figures of the disk", figures.watch_disk(settings.data_dir, metrics))
    base = Foundations(
        settings, store, replica, clock, networks, transit, profiles, scarcity, tokens, metrics, background, lead, stack
    )
    wired = wire(base)
    stack.push_async_callback(server.drain)
    handlers = servicers.handlers(wired.servicers, server.streams, metrics, admission=admission, observing=observing)
    if is_worker:
        await server.start()
    server.open(handlers, admission)
    metrics.workers.set(1)
    return Running(
        server.addresses,
        metrics_address,
        metrics,
        store,
        replica,
        sweeper,
        wired.transfers,
        wired.broken_promises,
        broken,
    )
