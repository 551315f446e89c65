"""How answers are printed."""

import sys

import pytest

from invengine.cli.output import table
from invengine.cli.render import as_json
from invengine.v1 import availability_service_pb2, common_pb2, reservation_service_pb2


def test_json_has_every_field_and_numbers_where_proto_json_has_text() -> None:
    message = availability_service_pb2.BatchGetAvailabilityResponse(available=[2**53 - 1, 0], row_counts=[1, 0])
    message.staleness.nanos = 5_000_000
    assert as_json(message) == {
        "status": [],
        "available": [9007199254740991, 0],
        "rowCounts": [1, 0],
        "locationIndex": [],
        "locationAvailable": [],
        "locations": [],
        "consistencyToken": "",
        "staleness": "0.005s",
        "level": [],
        "handles": [],
        "handleEpoch": 0,
    }


def test_json_of_messages_within_messages() -> None:
    outcome = reservation_service_pb2.BatchCreateReservationsResponse.Outcome(
        refusal=common_pb2.Refusal(
            reason=common_pb2.ERROR_REASON_INSUFFICIENT_STOCK,
            metadata={"wanted": "5"},
            short_lines=[common_pb2.ShortLine(line_id="1", wanted=5, available=3)],
        )
    )
    told = as_json(reservation_service_pb2.BatchCreateReservationsResponse(outcomes=[outcome]))["outcomes"][0]
    texts = dict.fromkeys(("sku", "location", "component"), "")
    assert told["refusal"]["shortLines"] == [{"lineId": "1", **texts, "wanted": 5, "available": 3}]
    assert told["refusal"]["metadata"] == {"wanted": "5"}


def test_a_piped_table_is_aligned_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "units", "why"), [("a", 5, ""), ("bcdef", 1234, "x")])
    assert capsys.readouterr().out == "name   units  why\na          5\nbcdef   1234  x\n"
    table(("name", "units"), [("a", 17), ("b", "")])
    assert capsys.readouterr().out == "name  units\na        17\nb\n"
    table(("name", "units"), [])
    assert capsys.readouterr() == ("", "There is nothing to list.\n")
    table(("name", "units"), [], empty="Nobody is here.")
    assert capsys.readouterr() == ("", "Nobody is here.\n")


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_table_on_a_terminal_is_drawn_and_names_are_not_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, no_color: str
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    table(("sku", "units"), [("[red]LAMP[/red]", 3)])
    drawn = capsys.readouterr().out
    assert "[red]LAMP[/red]" in drawn
    assert "─" in drawn
