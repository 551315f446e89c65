"""`invengine top`: its data, its keys, and the screen at a real terminal."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from invengine.cli.top import looks
from invengine.cli.top.looks import AtRisk, Broken, Busy, Look
from invengine.cli.top.metrics_page import MethodLook, ServerLook, parsed, quantile, server_look
from invengine.cli.top.screen import Page, TopScreen
from tests.cli.relays import Relay
from tests.cli.servers import CommandLine, Server
from tests.cli.terminals import Terminal

PAGE = """\
# HELP grpc_server_handled_total Calls ended, by status code.
# TYPE grpc_server_handled_total counter
grpc_server_handled_total{grpc_code="OK",grpc_method="GetAvailability",grpc_type="unary"} %d.0
grpc_server_handled_total{grpc_code="NotFound",grpc_method="GetAvailability",grpc_type="unary"} 5.0
grpc_server_handled_total{grpc_code="OK",grpc_method="ListFeeds",grpc_type="unary"} 7.0
grpc_server_handling_seconds_bucket{grpc_method="GetAvailability",le="0.001"} %d.0
grpc_server_handling_seconds_bucket{grpc_method="GetAvailability",le="0.01"} %d.0
grpc_server_handling_seconds_bucket{grpc_method="GetAvailability",le="+Inf"} %d.0
invengine_replica_lag_seconds 0.25
invengine_feed_lag_seconds 1.5
invengine_queue_depth{verb="reserve"} 3.0
invengine_queue_depth{verb="post"} 4.0
invengine_reservations{state="HELD"} 12.0
invengine_reservations{state="RELEASED"} 99.0
invengine_short_units 2.0
"""


def page(calls: int, fast: int) -> str:
    return PAGE % (calls, fast, calls, calls)


def test_rates_and_quantiles_are_of_what_came_between() -> None:
    found = server_look(parsed(page(300, 250)), parsed(page(100, 100)), 2.0)
    assert (found.requests_per_second, found.queue_depth, found.replica_lag_seconds) == (100.0, 7, 0.25)
    assert found.reservations == {"HELD": 12, "RELEASED": 99}
    (method,) = found.methods  # the other one was not called
    assert (method.method, method.per_second) == ("GetAvailability", 100.0)
    assert method.p50_milliseconds == pytest.approx(1000 * 0.001 * 100 / 150, abs=0.01)
    assert method.p99_milliseconds == pytest.approx(1000 * (0.001 + 0.009 * 48 / 50), abs=0.01)


def test_a_server_that_began_anew_is_counted_from_nothing() -> None:
    found = server_look(parsed(page(10, 10)), parsed(page(100, 100)), 5.0)
    assert [(one.method, one.per_second) for one in found.methods] == [("GetAvailability", 3.0)]
    assert server_look(parsed(page(10, 10)), None, 0.0).methods == []


def test_quantiles_at_their_ends() -> None:
    assert quantile({}, 0.5) is None
    assert quantile({1.0: 0.0, float("inf"): 0.0}, 0.5) is None
    assert quantile({1.0: 1.0, float("inf"): 10.0}, 0.99) == 1.0  # beyond the last edge that has a number


def test_rows_are_sorted_with_the_largest_first_and_the_empty_last() -> None:
    rows: list[tuple[Any, ...]] = [("b", 2, ""), ("a", 10, "x"), ("c", -1, "")]
    assert [row[0] for row in looks.sorted_rows(rows, 1)] == ["a", "b", "c"]
    assert [row[0] for row in looks.sorted_rows(rows, 0)] == ["a", "b", "c"]
    assert [row[0] for row in looks.sorted_rows(rows, 2)] == ["a", "b", "c"]


# --- one look -------------------------------------------------------------------------------------------------------


@contextmanager
def metrics(*pages: str) -> Iterator[str]:
    """Serves these pages at /metrics, one after the other, the last one from then on."""
    left = list(pages)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/metrics" else 404)
            self.end_headers()
            self.wfile.write((left.pop(0) if len(left) > 1 else left[0]).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def stocked(invengine: CommandLine) -> CommandLine:
    """4 reserved of which 2 are there; 2 of another SKU, which is little."""
    invengine.run("stock", "post", "RECEIPT", "top-short", "WH1", "5")
    invengine.run("reserve", "top-short", "4", "--channel", "web", "--reservation-id", "top-r")
    invengine.run("stock", "post", "ADJUSTMENT", "top-short", "WH1", "-3", "--reason", "lost")
    invengine.run("stock", "post", "RECEIPT", "top-low", "WH1", "2")
    return invengine


def test_one_look_for_programs(stocked: CommandLine) -> None:
    with metrics(page(100, 100), page(150, 150)) as address:
        words = ("top", "--once", "--channel", "web", "--metrics", address, "--interval-seconds", "0.2")
        look = stocked.json(*words)
    risky = {(one["sku"], one["units"], one["level"]) for one in look["atRisk"]}
    assert {("top-short", -2, "SHORT"), ("top-low", 2, "LOW")} <= risky
    assert ("top-r", "SHORTFALL") in [(one["reservationId"], one["reason"]) for one in look["broken"]]
    assert look["metrics"]["queueDepth"] == 7
    assert look["metrics"]["requestsPerSecond"] > 0
    assert look["metrics"]["methods"][0]["method"] == "GetAvailability"
    assert look["problem"] == ""


def test_one_look_for_people_and_as_csv(stocked: CommandLine) -> None:
    printed = stocked.run("top", "--once", "--interval-seconds", "0.1", "--location", "WH1")
    assert re.search(r"top-short +WH1 +-2 +SHORT", printed.stdout)
    assert "--metrics HOST:PORT" in printed.stderr
    rows = stocked.run("top", "--once", "--interval-seconds", "0.1", "--csv").stdout.splitlines()
    assert rows[0] == "sku,location,units,level"
    assert "top-short,WH1,-2,SHORT" in rows


def test_nobody_there_ends_with_5() -> None:
    nobody = CommandLine("127.0.0.1:1")
    told = nobody.run("top", "--once", "--json", "--metrics", "127.0.0.1:1", exit_code=5)
    look = json.loads(told.stdout)
    assert look["problem"].startswith("No server answers at 127.0.0.1:1")
    assert look["metricsProblem"].startswith("No metrics: 127.0.0.1:1")


def test_without_textual_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['textual'] = None; from invengine.cli import main; sys.argv[1:] = ['top']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        2,
        "The screen needs textual: pip install 'invengine[top]'. One look needs nothing: invengine top --once.",
    )


# --- keys -----------------------------------------------------------------------------------------------------------


class Made:
    """A source that says what the test wants."""

    def __init__(self) -> None:
        self.channel = "web"
        self.location = ""
        self.problem = ""
        self.looks = 0

    async def look(self) -> Look:
        self.looks += 1
        return Look(
            datetime(2026, 11, 22, 12, 0, tzinfo=UTC),
            "127.0.0.1:50051",
            problem=self.problem,
            at_risk=[AtRisk("SOFA", "LON1", -1, "SHORT"), AtRisk("LAMP", "", 2, "LOW"), AtRisk("CHAIR", "", 1, "LOW")],
            busiest=[Busy("LAMP", 120, 2, "LOW")],
            broken=[Broken("SOFA", "LON1", "r-1", 1, "SHORTFALL", "2026-11-22T11:00:00Z")],
            broken_by_reason={"SHORTFALL": 1, "SLIPPED": 2},
            metrics=ServerLook(
                0.02, 0.0, 3, 250.0, {"HELD": 5}, methods=[MethodLook("GetAvailability", 250.0, 0.4, 2.0)]
            ),
        )

    async def narrow(self, *, channel: str, location: str) -> None:
        self.channel, self.location = channel, location

    async def explain(self, sku: str) -> list[str]:
        return [f"why so many {sku}"]


def column(screen: TopScreen, panel: str, number: int = 0) -> list[str]:
    table = screen._panel(panel)
    return [str(table.get_row_at(row)[number]) for row in range(table.row_count)]


def text_of(screen: TopScreen, selector: str) -> str:
    return str(screen.query_one(selector).render())


@asynccontextmanager
async def driven(source: Made) -> AsyncIterator[tuple[TopScreen, Pilot[None]]]:
    screen = TopScreen(source, interval_seconds=3600)
    async with screen.run_test(size=(80, 24)) as pilot:
        await screen.workers.wait_for_complete()
        await pilot.pause()
        yield screen, pilot


@pytest.mark.asyncio
async def test_panels_show_the_look() -> None:
    async with driven(Made()) as (screen, _):
        assert column(screen, "risk") == ["SOFA", "LAMP", "CHAIR"]
        assert column(screen, "busy", 1) == ["120"]
        assert column(screen, "methods") == ["GetAvailability"]
        assert screen._panel("broken").border_title == "Broken promises 3: SHORTFALL 1, SLIPPED 2"
        assert "250 requests/s, queue 3" in text_of(screen, "#facts")
        assert "5 HELD" in text_of(screen, "#facts")
        assert "12:00:00  channel web  127.0.0.1:50051" in text_of(screen, "#state")


@pytest.mark.asyncio
async def test_sorting_and_the_letters_of_skus() -> None:
    async with driven(Made()) as (screen, pilot):
        await pilot.press("s")
        assert column(screen, "risk") == ["CHAIR", "LAMP", "SOFA"]
        await pilot.press("s", "s")
        assert column(screen, "risk") == ["LAMP", "CHAIR", "SOFA"]
        await pilot.press("slash", *"lam", "enter")
        assert column(screen, "risk") == ["LAMP"]
        assert "SKUs with lam" in text_of(screen, "#state")


@pytest.mark.asyncio
async def test_channel_and_location_are_asked_for() -> None:
    source = Made()
    async with driven(source) as (screen, pilot):
        await pilot.press("l", *"LON1", "enter")
        await screen.workers.wait_for_complete()
        assert (source.channel, source.location, source.looks) == ("web", "LON1", 2)
        await pilot.press("c", "backspace", "backspace", "backspace", *"till", "enter")
        await screen.workers.wait_for_complete()
        await pilot.pause()
        assert (source.channel, source.location) == ("till", "LON1")
        assert "channel till  location LON1" in text_of(screen, "#state")


@pytest.mark.asyncio
async def test_a_pause_a_detail_help_and_the_end() -> None:
    source = Made()
    async with driven(source) as (screen, pilot):
        await pilot.press("p")
        screen._tick()
        assert source.looks == 1
        assert "PAUSED" in text_of(screen, "#state")
        await pilot.press("r")
        await screen.workers.wait_for_complete()
        assert source.looks == 2
        await pilot.press("down", "enter")
        await screen.workers.wait_for_complete()
        await pilot.pause()
        assert isinstance(screen.screen, Page)
        assert (screen.screen._title, screen.screen._lines) == ("LAMP", ["why so many LAMP"])
        await pilot.press("escape", "question_mark")
        await pilot.pause()
        assert isinstance(screen.screen, Page)
        assert "pause, and go on" in "\n".join(screen.screen._lines)
        await pilot.press("escape", "q")
    assert screen.return_code == 0


@pytest.mark.asyncio
async def test_away_is_shown_with_what_there_was() -> None:
    source = Made()
    async with driven(source) as (screen, pilot):
        source.problem = "No server answers at 127.0.0.1:50051"
        await pilot.press("r")
        await screen.workers.wait_for_complete()
        await pilot.pause()
        assert "AWAY: No server answers" in text_of(screen, "#state")
        assert column(screen, "risk") == ["SOFA", "LAMP", "CHAIR"]


# --- a real terminal ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own: what other tests did in one that is shared would fill the small screen."""
    server = Server(tmp_path_factory.mktemp("top"))
    try:
        server.wait()
        yield server
    finally:
        assert server.stop() == 0


@pytest.fixture(scope="module")
def invengine(engine: Server, network_file: Path) -> CommandLine:
    """The command line against it."""
    line = CommandLine(engine.address)
    line.run("network", "apply", str(network_file))
    return line


def test_the_screen_at_a_terminal_of_80_by_24(stocked: CommandLine, engine: Server, tmp_path: Path) -> None:
    """Against a real server, which goes away and comes back meanwhile."""
    with (
        Relay(tmp_path / "relay.sock", engine.address) as relay,
        metrics(page(100, 100), page(150, 150)) as address,
        Terminal(
            *("top", "--server", relay.address, "--channel", "web", "--metrics", address),
            *("--interval-seconds", "0.2", "--timeout-seconds", "2"),
        ) as terminal,
    ):
        shown = terminal.until(lambda screen: "top-short" in screen and "replica lag 0.250 s" in screen)
        print(shown)
        assert "Stock at risk" in shown
        assert re.search(r"Broken promises \d+: ", shown)
        assert "channel web" in shown.splitlines()[0]
        stocked.run("stock", "post", "RECEIPT", "top-busy", "WH1", "1")
        terminal.until(lambda screen: "top-busy" in screen)
        terminal.press("?")
        terminal.until(lambda screen: "sort the panel by its next column" in screen)
        terminal.press("\x1b")
        terminal.until(lambda screen: "sort the panel" not in screen)
        relay.cut()
        shown = terminal.until(lambda screen: "AWAY: No server answers" in screen)
        assert "top-short" in shown
        relay.listen()
        terminal.until(lambda screen: "AWAY" not in screen and "channel web" in screen)
        terminal.press("/")
        terminal.until(lambda screen: "letters of SKUs" in screen)
        terminal.press("top-short\r")
        shown = terminal.until(lambda screen: "SKUs with top-short" in screen)
        terminal.press("\r")
        terminal.until(lambda screen: "web can take" in screen and "on_hand" in screen)
        terminal.press("\x1b")
        terminal.until(lambda screen: "web can take" not in screen)
        terminal.press("q")
        assert terminal.ended() == 0
