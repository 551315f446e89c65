"""A client that nobody of this project wrote: grpc-js, knowing the .proto files alone, or the server's reflection."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.rpc import status_pb2

from invengine.client import Movement, Tls
from tests.certificates import Authority
from tests.cli.servers import Server
from tests.rpc.engines import NETWORK
from tests.rpc.tokens import guarded

HERE = Path(__file__).parent / "node"
PROTO = Path(__file__).parents[2] / "proto"
GOOGLE = Path(status_pb2.__file__).parents[2]  # googleapis-common-protos brings google/rpc/*.proto
UNITS_MAX = str(2**53 - 1)

Run = Callable[[str], dict[str, Any]]


def run_node(node_modules: Path, address: str, scenario: str, **environment: str) -> dict[str, Any]:
    """Runs one scenario of client.js and answers what it printed."""
    done = subprocess.run(
        ["node", HERE / "client.js", address, PROTO, GOOGLE, scenario],
        env={**os.environ, "NODE_PATH": str(node_modules), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    answered: dict[str, Any] = json.loads(done.stdout)
    return answered


@pytest.fixture(scope="module")
def foreign(node_modules: Path, server: Server) -> Run:
    """Runs one scenario of client.js against the server and answers what it printed."""
    return lambda scenario: run_node(node_modules, server.address, scenario)


def test_a_foreign_client_shops(foreign: Run) -> None:
    """Apply a network, post stock, look, reserve, repeat, confirm, look again: everything in step, units as text."""
    answered = foreign("shopping")
    assert {outcome["result"] for outcome in answered["posted"]["outcomes"]} <= {"RESULT_APPLIED", "RESULT_REPEATED"}
    before, after = answered["before"], answered["after"]
    assert (before["available"], before["level"]) == ("7", "LEVEL_IN_STOCK")
    assert [(row["location"], row["available"]) for row in before["positions"]] == [("DC", "5"), ("SHOP", "2")]
    made = answered["reserved"]["reservation"]
    assert (made["state"], made["cart_ref"], answered["reserved"]["replayed"]) == ("STATE_HELD", "cart-1", False)
    taken = [(unit["location"], unit["quantity"]) for unit in made["lines"][0]["allocations"]]
    assert taken == [("DC", "5"), ("SHOP", "1")]
    assert int(made["expire_time"]["seconds"]) - int(made["create_time"]["seconds"]) in (600, 601)
    assert (answered["repeated"]["reservation"], answered["repeated"]["replayed"]) == (made, True)
    confirmed = answered["confirmed"]["reservation"]
    assert (confirmed["state"], confirmed["order_ref"], confirmed["expire_time"]) == (
        "STATE_CONFIRMED",
        "order-1",
        None,
    )
    assert (after["available"], after["level"]) == ("1", "LEVEL_LOW")
    assert [row["reserved"] for row in after["positions"]] == ["5", "1"]
    assert answered["listed"]["reservations"] == [confirmed]


def test_a_foreign_client_reads_why_it_was_refused(foreign: Run) -> None:
    """The typed Refusal in the status details decodes by the .proto, true numbers included."""
    answered = foreign("refused")
    short = answered["short"]
    assert (short["grpc_code"], short["code"]) == ("FAILED_PRECONDITION", 9)
    assert (short["ErrorInfo"]["reason"], short["ErrorInfo"]["domain"]) == ("INSUFFICIENT_STOCK", "invengine")
    refusal = short["Refusal"]
    assert (refusal["reason"], refusal["message"]) == ("ERROR_REASON_INSUFFICIENT_STOCK", short["message"])
    lines = [(line["line_id"], line["sku"], line["location"], line["wanted"]) for line in refusal["short_lines"]]
    assert lines == [("a", "RUG", "DC", "1"), ("b", "LAMP", "", "1000000")]
    assert refusal["short_lines"][0]["available"] == "0"
    assert refusal["metadata"] == short["ErrorInfo"]["metadata"]
    unknown = answered["unknown_channel"]
    assert (unknown["grpc_code"], unknown["Refusal"]["reason"]) == ("NOT_FOUND", "ERROR_REASON_UNKNOWN_CHANNEL")
    assert unknown["Refusal"]["metadata"] == {"channel": "webb"}
    bad = answered["bad"]
    assert (bad["grpc_code"], bad["Refusal"]["reason"]) == ("INVALID_ARGUMENT", "ERROR_REASON_INVALID_ARGUMENT")
    assert [violation["field"] for violation in bad["BadRequest"]["field_violations"]] == ["lines[0].quantity"]


def test_a_foreign_client_reads_the_columns_of_a_batch(foreign: Run) -> None:
    """They are written without protobuf's help, so a foreign decoder is the judge; 2^53-1 units survive."""
    answered = foreign("columns")
    columns, totals = answered["columns"], answered["totals"]
    known, unknown = "AVAILABILITY_STATUS_KNOWN", "AVAILABILITY_STATUS_UNKNOWN_SKU"
    assert columns["status"] == totals["status"] == [known, unknown, known, known]
    assert (columns["available"][0], columns["available"][3]) == (UNITS_MAX, UNITS_MAX)
    rows = {sku: {} for sku in ("RUG", "NOTHING", "LAMP", "RUG again")}
    place = 0
    for sku, count in zip(rows, columns["row_counts"], strict=True):
        for row in range(place, place + count):
            location = columns["locations"][columns["location_index"][row]]
            rows[sku][location] = columns["location_available"][row]
        place += count
    assert place == len(columns["location_index"]) == len(columns["location_available"])
    assert (rows["RUG"], rows["NOTHING"], rows["RUG again"]) == ({"SHOP": UNITS_MAX}, {}, {"SHOP": UNITS_MAX})
    assert set(rows["LAMP"]) == {"DC", "SHOP"}
    assert sum(map(int, rows["LAMP"].values())) == int(columns["available"][2])
    assert (totals["row_counts"], totals["location_index"], totals["location_available"]) == ([], [], [])
    assert (totals["available"][0], totals["available"][2]) == (UNITS_MAX, rows["LAMP"]["SHOP"])
    assert columns["consistency_token"]


def test_a_foreign_client_streams_queries(foreign: Run) -> None:
    """Answers come in the order of the queries; a refused query does not end the stream."""
    answers = foreign("streaming")["answers"]
    assert [answer["query_id"] for answer in answers] == [str(number) for number in range(1, 501)]
    first, second, third, fourth, *others = answers
    assert (first["available"], first["level"], first["refusal"]) == (UNITS_MAX, "LEVEL_IN_STOCK", None)
    assert (second["status"], second["available"]) == ("AVAILABILITY_STATUS_UNKNOWN_SKU", "0")
    assert third["refusal"]["reason"] == "ERROR_REASON_UNKNOWN_GROUP"
    assert fourth["available"] == UNITS_MAX
    assert {answer["available"] for answer in others} == {UNITS_MAX}


def test_a_client_without_proto_files_learns_them_by_reflection(foreign: Run) -> None:
    foreign("columns")  # puts the stock there that is asked for
    answered = foreign("reflection")
    ours = {f"invengine.v1.{name}Service" for name in ("Admin", "Availability", "Network", "Reservation", "Stock")}
    assert ours | {"grpc.health.v1.Health"} <= set(answered["services"])
    assert answered["methods"] == [
        "GetAvailability",
        "BatchGetAvailability",
        "StreamAvailability",
        "WatchAvailability",
        "ExplainAvailability",
        "GetAvailableToPromise",
    ]
    assert answered["answer"]["available"] == UNITS_MAX


@pytest.mark.asyncio
async def test_a_foreign_client_reserves_and_watches_with_a_token_over_tls(
    node_modules: Path, redis_url: str, tmp_path: Path
) -> None:
    """One header and a CA are all it takes; the channel is the token's, and what it may not is told by its reason."""
    authority = Authority(tmp_path)
    certificate, key = authority.server()
    tls = Tls.read(ca=authority.ca)
    async with guarded(redis_url, tmp_path, tls=tls, tls_certificate=certificate, tls_key=key) as server:
        await server.admin.apply_network(NETWORK)
        opening = Movement(source="node", event_id="n1", kind=1, sku="LAMP", location="DC", quantity=5)
        await server.admin.post_movements([opening])
        token = await server.token("node shop", "reserve", channel="web")

        async def run(scenario: str, **environment: str) -> dict[str, Any]:
            where = {"INVENGINE_CA": str(authority.ca), **environment}
            return await asyncio.to_thread(run_node, node_modules, server.address, scenario, **where)

        answered = await run("secured", INVENGINE_TOKEN=token)
        assert answered["seen"] == ["5", "3"]
        assert answered["reserved"]["reservation"]["channel"] == "web"
        told = [(answered[name]["grpc_code"], answered[name]["Refusal"]["reason"]) for name in ("may_not", "other")]
        assert told == [
            ("PERMISSION_DENIED", "ERROR_REASON_ROLE_MISSING"),
            ("PERMISSION_DENIED", "ERROR_REASON_CHANNEL_NOT_ALLOWED"),
        ]
        for environment in ({}, {"INVENGINE_TOKEN": f"{token}x"}):
            nobody = await run("unknown", **environment)
            assert (nobody["grpc_code"], nobody["ErrorInfo"]["reason"]) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
