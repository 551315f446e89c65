"""Writes dashboard.json, for Grafana, and ../metrics.md, the table of what is exposed.

Run `python docs/monitoring/generate.py` after a metric was added or a panel changed; a test compares.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
DASHBOARD: Final = HERE / "dashboard.json"
METRICS_PAGE: Final = HERE.parent / "metrics.md"

SELECTED: Final = 'job="$job",instance=~"$instance"'
RATE: Final = "$__rate_interval"

# Rows of panels: (title, unit, what it tells, [(expression, legend), ...]). `SEL` stands for the chosen servers, `RATE`
# for the interval that rates are taken over.
ROWS: Final = [
    (
        "At a glance",
        [
            ("Servers up", "none", "Servers that Prometheus reaches.", [("count(up{SEL} == 1) or vector(0)", "up")]),
            (
                "Violations",
                "none",
                "What the newest integrity check found. Anything but 0 means that a number is wrong.",
                [("max(sum by (instance) (invengine_integrity_violations{SEL}))", "violations")],
            ),
            (
                "Calls failed by us",
                "percentunit",
                "Share of calls that ended UNAVAILABLE or INTERNAL.",
                [
                    (
                        'sum(rate(grpc_server_handled_total{SEL,grpc_code=~"Unavailable|Internal"}[RATE]))'
                        " / sum(rate(grpc_server_handled_total{SEL}[RATE]))",
                        "failed",
                    )
                ],
            ),
            ("Redis", "none", "1 while the store answers.", [("min(invengine_redis_up{SEL})", "up")]),
        ],
    ),
    (
        "Traffic: rate, errors, duration",
        [
            (
                "Calls begun",
                "reqps",
                "By method.",
                [("sum by (grpc_method) (rate(grpc_server_started_total{SEL}[RATE]))", "{{grpc_method}}")],
            ),
            (
                "Calls that were not OK",
                "reqps",
                "By status code; ends of streams by their callers are Canceled.",
                [
                    (
                        'sum by (grpc_code) (rate(grpc_server_handled_total{SEL,grpc_code!="OK"}[RATE]))',
                        "{{grpc_code}}",
                    )
                ],
            ),
            (
                "Time of a call, 99th of 100",
                "s",
                "Of methods that answer once.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le, grpc_method) "
                        '(rate(grpc_server_handling_seconds_bucket{SEL,grpc_type="unary"}[RATE])))',
                        "{{grpc_method}}",
                    )
                ],
            ),
            (
                "Time of a call, median",
                "s",
                "Of methods that answer once.",
                [
                    (
                        "histogram_quantile(0.5, sum by (le, grpc_method) "
                        '(rate(grpc_server_handling_seconds_bucket{SEL,grpc_type="unary"}[RATE])))',
                        "{{grpc_method}}",
                    )
                ],
            ),
            (
                "Refusals",
                "reqps",
                "By reason, those of single items of a batch included.",
                [("sum by (reason) (rate(invengine_refused_total{SEL}[RATE])) > 0", "{{reason}}")],
            ),
            (
                "Messages",
                "reqps",
                "Of all methods; a stream has many.",
                [
                    ("sum(rate(grpc_server_msg_received_total{SEL}[RATE]))", "received"),
                    ("sum(rate(grpc_server_msg_sent_total{SEL}[RATE]))", "sent"),
                ],
            ),
        ],
    ),
    (
        "Store: use, saturation, errors",
        [
            (
                "Time of one write to Redis, 99th of 100",
                "s",
                "Repeats after a lost connection included.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le, call) "
                        "(rate(invengine_store_roundtrip_seconds_bucket{SEL}[RATE])))",
                        "{{call}}",
                    )
                ],
            ),
            (
                "Requests that wait for Redis",
                "percentunit",
                "Of what may wait; beyond 1 requests are refused with OVERLOADED.",
                [
                    (
                        'max by (instance, verb) (invengine_queue_depth{SEL,verb!="stream_movements"})'
                        " / on (instance) group_left () max by (instance) (invengine_queue_limit{SEL})",
                        "{{instance}} {{verb}}",
                    )
                ],
            ),
            (
                "Requests in one call to Redis",
                "none",
                "Average: rises under load, which is what keeps the store quick.",
                [
                    (
                        "sum by (verb) (rate(invengine_batch_size_sum{SEL}[RATE]))"
                        " / sum by (verb) (rate(invengine_batch_size_count{SEL}[RATE]))",
                        "{{verb}}",
                    )
                ],
            ),
            (
                "Failed calls",
                "reqps",
                "By reason; and writes of which nobody knows whether they are done.",
                [
                    ("sum by (reason) (rate(invengine_store_errors_total{SEL}[RATE]))", "{{reason}}"),
                    ("sum(rate(invengine_outcome_unknown_total{SEL}[RATE]))", "outcome unknown"),
                ],
            ),
            (
                "Memory of Redis",
                "bytes",
                "Of all primaries: used, and what they may use.",
                [
                    ("max(invengine_redis_memory_used_bytes{SEL})", "used"),
                    ("max(invengine_redis_memory_limit_bytes{SEL})", "limit"),
                ],
            ),
            (
                "Redis: persistence, replicas, clients",
                "none",
                "aof and save are 1 while all is well.",
                [
                    ("min(invengine_redis_aof_ok{SEL})", "aof well"),
                    ("min(invengine_redis_aof_enabled{SEL})", "aof kept"),
                    ("min(invengine_redis_save_ok{SEL})", "save well"),
                    ("min(invengine_redis_connected_replicas{SEL})", "replicas"),
                    ("max(invengine_redis_replicas_wanted{SEL})", "replicas wanted"),
                    ("max(invengine_redis_primaries{SEL})", "primaries"),
                    ("max(invengine_redis_connected_clients{SEL})", "clients"),
                ],
            ),
            (
                "Appends that waited for the disk; restarts",
                "none",
                "In the last hour.",
                [
                    ("max(increase(invengine_redis_aof_delays_total{SEL}[1h]))", "delayed appends"),
                    ("sum by (instance) (increase(invengine_redis_restarts_total{SEL}[1h]))", "{{instance}} restarts"),
                ],
            ),
            (
                "Disk of the data folder",
                "bytes",
                "Where the engine runs its own Redis.",
                [
                    ("invengine_data_disk_free_bytes{SEL}", "{{instance}} free"),
                    ("invengine_data_disk_size_bytes{SEL}", "{{instance}} size"),
                ],
            ),
            (
                "Clock of Redis",
                "s",
                "How far it is ahead of the time that holds go by; how often it was set.",
                [
                    ("max(invengine_store_clock_ahead_seconds{SEL})", "ahead"),
                    ("max(increase(invengine_store_clock_steps_total{SEL}[1h]))", "steps in the last hour"),
                ],
            ),
            (
                "Change log",
                "none",
                "Entries that are kept.",
                [("max(invengine_log_entries{SEL})", "entries")],
            ),
        ],
    ),
    (
        "Copy in memory, and reads",
        [
            (
                "Replica lag",
                "s",
                "How old a change may be that this server's answers miss.",
                [("invengine_replica_lag_seconds{SEL}", "{{instance}}")],
            ),
            (
                "Time of one read behind the wire, 99th of 100",
                "s",
                "Message in, kernels, message out.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le, kernel) "
                        "(rate(invengine_kernel_seconds_bucket{SEL}[RATE])))",
                        "{{kernel}}",
                    )
                ],
            ),
            (
                "SKUs and positions",
                "none",
                "That the servers know.",
                [("max(invengine_skus{SEL})", "SKUs"), ("max(invengine_positions{SEL})", "positions")],
            ),
        ],
    ),
    (
        "Reservations",
        [
            (
                "Live reservations",
                "none",
                "A hold whose time is over counts until it is swept.",
                [('max by (state) (invengine_reservations{SEL,state=~"HELD|CONFIRMED"})', "{{state}}")],
            ),
            (
                "Ended reservations",
                "reqps",
                "By how they ended; and holds that these servers expired.",
                [
                    (
                        'max by (state) (deriv(invengine_reservations{SEL,state!~"HELD|CONFIRMED"}[5m]))',
                        "{{state}}",
                    ),
                    ("sum(rate(invengine_reservations_expired_total{SEL}[RATE]))", "expired here"),
                ],
            ),
            (
                "Stock at risk",
                "none",
                "Units reserved beyond what is on hand, and the positions where that is so.",
                [
                    ("max(invengine_short_units{SEL})", "units short"),
                    ("max(invengine_short_positions{SEL})", "positions"),
                ],
            ),
            (
                "Broken promises",
                "none",
                "Allocations of live reservations that cannot be kept as promised.",
                [("max by (reason) (invengine_broken_promises{SEL})", "{{reason}}")],
            ),
            (
                "Reservations by profile",
                "reqps",
                "FIRST: the best plan was taken; NEXT: the next one; ANOTHER_TRIP: planned anew.",
                [("sum by (plan) (rate(invengine_reservations_by_profile_total{SEL}[RATE]))", "{{plan}}")],
            ),
            (
                "Repeated requests",
                "reqps",
                "Answered as they were before: callers that repeat.",
                [("sum(rate(invengine_request_replays_total{SEL}[RATE]))", "repeats")],
            ),
        ],
    ),
    (
        "Feeds and demand",
        [
            (
                "Movements acknowledged",
                "reqps",
                "Of streams, by what became of them.",
                [("sum by (result) (rate(invengine_feed_movements_total{SEL}[RATE]))", "{{result}}")],
            ),
            (
                "Feed lag",
                "s",
                "Age of the movement acknowledged last, of the stream that is furthest behind; how long ago any was.",
                [
                    ("invengine_feed_lag_seconds{SEL}", "{{instance}} lag"),
                    ("time() - max(invengine_feed_last_acknowledged_timestamp_seconds{SEL} > 0)", "silent for"),
                ],
            ),
            (
                "Streams",
                "none",
                "Open streams of movements, and what they have read and not acknowledged.",
                [
                    ("sum(invengine_feed_streams{SEL})", "streams"),
                    ("sum(invengine_feed_unacknowledged_movements{SEL})", "not acknowledged"),
                ],
            ),
            (
                "Demand",
                "none",
                "SKUs with a forecast; lines that were read for it in the last hour.",
                [
                    ("max(invengine_demand_skus{SEL})", "SKUs"),
                    ("max(increase(invengine_demand_lines_total{SEL}[1h]))", "lines"),
                ],
            ),
        ],
    ),
    (
        "Watch",
        [
            (
                "Callers that watch",
                "none",
                "And those of them that have not taken their last message.",
                [
                    ("sum by (instance) (invengine_watch_subscribers{SEL})", "{{instance}}"),
                    ("sum by (instance) (invengine_watch_subscribers_behind{SEL})", "{{instance}} behind"),
                ],
            ),
            (
                "Told",
                "reqps",
                "Changes; those that were told together with a later one; changes of promises.",
                [
                    ("sum(rate(invengine_watch_changes_total{SEL}[RATE]))", "changes"),
                    ("sum(rate(invengine_watch_coalesced_total{SEL}[RATE]))", "told with a later one"),
                    ("sum(rate(invengine_watch_promises_total{SEL}[RATE]))", "promises"),
                ],
            ),
            (
                "From change to connection, 99th of 100",
                "s",
                "By what is told.",
                [
                    (
                        "histogram_quantile(0.99, sum by (le, told) "
                        "(rate(invengine_watch_lag_seconds_bucket{SEL}[RATE])))",
                        "{{told}}",
                    )
                ],
            ),
        ],
    ),
    (
        "Integrity",
        [
            (
                "Violations by invariant",
                "none",
                "Of the newest check.",
                [("max by (invariant) (invengine_integrity_violations{SEL})", "{{invariant}}")],
            ),
            (
                "Since a check found nothing",
                "s",
                "Or since the start, where none was made.",
                [
                    (
                        "time() - max(invengine_integrity_last_success_timestamp_seconds{SEL} > 0"
                        " or on (instance) process_start_time_seconds{SEL})",
                        "age",
                    )
                ],
            ),
        ],
    ),
    (
        "Process",
        [
            (
                "Processor",
                "percentunit",
                "1 is one core.",
                [("rate(process_cpu_seconds_total{SEL}[RATE])", "{{instance}}")],
            ),
            (
                "Memory",
                "bytes",
                "Resident.",
                [("process_resident_memory_bytes{SEL}", "{{instance}}")],
            ),
            (
                "Workers",
                "none",
                "Processes that serve; and how many ended and were started again in the last hour.",
                [
                    ("invengine_workers{SEL}", "{{instance}}"),
                    ("increase(invengine_worker_restarts_total{SEL}[1h])", "{{instance}} started again"),
                ],
            ),
            (
                "Event loop lag",
                "s",
                "How late the event loop woke; above 0.1 the process has too little processor time.",
                [("invengine_event_loop_lag_seconds{SEL}", "{{instance}}")],
            ),
            (
                "Open files",
                "percentunit",
                "Of what the process may have: every connection is one.",
                [("process_open_fds{SEL} / process_max_fds{SEL}", "{{instance}}")],
            ),
            (
                "Up since",
                "s",
                "Age of each process, by version.",
                [
                    (
                        "(time() - process_start_time_seconds{SEL})"
                        " * on (instance) group_left (version) invengine_build_info{SEL}",
                        "{{instance}} {{version}}",
                    )
                ],
            ),
        ],
    ),
]

COLUMNS: Final = 24
WIDTH: Final = 8
HEIGHT: Final = 8
STAT_WIDTH: Final = 6
STAT_HEIGHT: Final = 4


def expression(text: str) -> str:
    """With the chosen servers and the interval in their places."""
    return text.replace("SEL", SELECTED).replace("[RATE]", f"[{RATE}]")


def panel(number: int, spec: tuple[str, str, str, list[tuple[str, str]]], place: dict[str, int], *, big: bool) -> Any:
    """One panel: a number at the top, a course of time elsewhere."""
    title, unit, told, targets = spec
    kind = "stat" if big else "timeseries"
    options: dict[str, Any] = (
        {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
        if big
        else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
    )
    return {
        "id": number,
        "title": title,
        "description": told,
        "type": kind,
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + at), "expr": expression(text), "legendFormat": legend}
            for at, (text, legend) in enumerate(targets)
        ],
    }


def panels() -> Iterator[Any]:
    """The rows one below the other, three panels wide; the first has numbers."""
    number, top = 0, 0
    for at, (title, specs) in enumerate(ROWS):
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top += 1
        width, height = (WIDTH, HEIGHT) if at else (STAT_WIDTH, STAT_HEIGHT)
        a_line = COLUMNS // width
        for place, spec in enumerate(specs):
            number += 1
            line, column = divmod(place, a_line)
            where = {"x": column * width, "y": top + line * height, "w": width, "h": height}
            yield panel(number, spec, where, big=not at)
        top += -(-len(specs) // a_line) * height


def variable(name: str, label: str, query: str, *, several: bool) -> Any:
    """A choice at the top of the dashboard, of the values of a label."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
        "current": {},
    }


def dashboard() -> str:
    """The text of dashboard.json."""
    model = {
        "title": "invengine",
        "uid": "invengine",
        "description": "Generated by docs/monitoring/generate.py.",
        "tags": ["invengine", "inventory", "grpc", "redis"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
                variable("job", "Job", "label_values(invengine_build_info, job)", several=False),
                variable(
                    "instance", "Server", 'label_values(invengine_build_info{job="$job"}, instance)', several=True
                ),
            ]
        },
        "panels": list(panels()),
    }
    return json.dumps(model, indent=1, ensure_ascii=False) + "\n"


METRICS_HEAD: Final = """\
# Metrics

Every metric of `/metrics`, as a server's registry says it; `docs/monitoring/generate.py` writes this page. Seconds,
bytes and whole units; values of labels come from fixed lists, never from callers, and every series is there at 0 from
the start. [Monitoring](monitoring.md) says which of them to look at and which to be woken by.

| Metric | Type | Labels | Means |
|---|---|---|---|
"""


def metrics_page() -> str:
    """The text of metrics.md."""
    from prometheus_client import CollectorRegistry

    from invengine.metrics import Metrics

    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.method("unary", "invengine.v1.AvailabilityService", "GetAvailability")
    rows = []
    for family in sorted(registry.collect(), key=lambda family: family.name):
        name = family.name + ("_total" if family.type == "counter" else "")
        labels = sorted({label for sample in family.samples for label in sample.labels} - {"le"})
        told = ", ".join(f"`{label}`" for label in labels)
        rows.append(f"| `{name}` | {family.type} | {told} | {family.documentation} |")
    process = (
        "\nBesides, what the Prometheus library tells of a Python process: `process_cpu_seconds_total`,\n"
        "`process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds`,\n"
        "`process_start_time_seconds`, `python_gc_collections_total`, `python_gc_objects_collected_total`,\n"
        "`python_gc_objects_uncollectable_total`, `python_info`.\n"
    )
    return METRICS_HEAD + "\n".join(rows) + "\n" + process


def main() -> None:
    """Writes both."""
    DASHBOARD.write_text(dashboard(), encoding="utf-8")
    METRICS_PAGE.write_text(metrics_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
