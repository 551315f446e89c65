"""Opens what the engine stands on: metrics pages, Redis, the documents in force."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest

from invengine.metrics import Metrics
from invengine.replica.clock import StoreClock
from invengine.replica.replica import Replica
from invengine.rpc import calls, traces
from invengine.rpc.calls import Observing
from invengine.rpc.metrics_http import MetricsHttp
from invengine.rpc.server import AddressTaken, Server
from invengine.services.background import Background
from invengine.services.networks import Networks
from invengine.services.profiles import Profiles
from invengine.services.transit_times import LearntTransit
from invengine.store.acting import BY
from invengine.store.embedded import EmbeddedRedis
from invengine.store.opening import open_topology as topology_at
from invengine.store.records import Replication, StoreSettings
from invengine.store.redis_store import RedisStore
from invengine.store.topology import Topology

if TYPE_CHECKING:
    from invengine.settings import Settings


def new_metrics() -> Metrics:
    """The series of a server, those of its process included."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return Metrics(registry)


async def start_metrics(settings: Settings, metrics: Metrics, server: Server, stack: AsyncExitStack) -> str:
    """Serves /metrics and the pages of health; the address as bound, empty where none is wanted."""
    if not settings.metrics_listen:
        return ""

    async def figures() -> bytes:
        return await asyncio.to_thread(generate_latest, metrics.registry)

    pages = MetricsHttp(figures, lambda: (server.is_serving, "SERVING\n" if server.is_serving else "NOT_SERVING\n"))
    stack.push_async_callback(pages.stop)
    try:
        return await pages.start(settings.metrics_listen)
    except OSError as fault:
        raise AddressTaken(f"cannot listen on {settings.metrics_listen}: {fault.strerror or fault}") from None


async def open_topology(
    settings: Settings, background: Background, metrics: Metrics, stack: AsyncExitStack
) -> Topology:
    """The servers of the settings' url, or a Redis of our own. Nothing is connected yet."""
    url = settings.redis_url
    if not url:
        assert settings.durability != "replicated"  # the settings refuse it without a url

        def restarted() -> None:
            metrics.redis.restarts += 1

        embedded = EmbeddedRedis(
            settings.data_dir, server=settings.redis_server, durability=settings.durability, on_restart=restarted
        )
        stack.push_async_callback(embedded.stop)
        url = await embedded.start()
        background.end_with(embedded.broken())
    topology = topology_at(url)
    stack.push_async_callback(topology.aclose)
    return topology


async def load_documents(
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


def observing_of(settings: Settings, metrics: Metrics, stack: AsyncExitStack) -> Observing:
    """What is told of calls. NotInstalled where traces are wanted and OpenTelemetry is missing."""
    trace = None
    if traces.wanted(settings.traces_endpoint, os.environ):
        made = traces.Traces(traces.otlp_exporter(settings.traces_endpoint), ratio=settings.traces_ratio)
        stack.push_async_callback(made.close)
        made.watch(metrics)
        trace = made.begin
    every = settings.access_log or calls.logger.isEnabledFor(logging.DEBUG)
    return Observing(every=every, slow_seconds=settings.slow_call_ms / 1000, who=BY.get, trace=trace)


def store_settings(settings: Settings) -> StoreSettings:
    """What the store has to know of the settings."""
    return StoreSettings(
        retention_seconds=settings.retention_hours * 3600,
        count_window_seconds=settings.count_window_hours * 3600,
        log_length_max=settings.log_entries_max,
        retry_seconds=settings.store_retry_seconds,
        replication=Replication(
            settings.replicas if settings.durability == "replicated" else 0, settings.replica_seconds
        ),
    )
