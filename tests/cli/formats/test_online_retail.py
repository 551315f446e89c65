"""Reading the Online Retail data set: each rule on a line of its own."""

from collections import Counter
from pathlib import Path

import pytest

from invengine.cli.formats import FORMATS, EventKind, HistoryEvent, HistoryFault
from tests.cli.history import write_history

HEADER = "ts,invoice,sku,description,qty,price,customer,country\n"
UK = "United Kingdom"


def read(folder: Path, *lines: str) -> list[HistoryEvent]:
    path = folder / "history.csv"
    path.write_text(HEADER + "".join(line + "\n" for line in lines))
    return list(FORMATS["online-retail"].events(path))


def kinds(events: list[HistoryEvent]) -> list[tuple[int, str, str, int]]:
    return [(event.row, event.kind.name, event.sku, event.quantity) for event in events]


def test_every_kind_of_line(tmp_path: Path) -> None:
    events = read(
        tmp_path,
        f'2010-12-01T08:26,536365,85123a,"HOLDER, WHITE",6,2.55,17850,{UK}',  # a sale; codes are folded to upper case
        f"2010-12-01T08:27,536366,POST,POSTAGE,3,18.0,17850,{UK}",  # a service
        f"2010-12-01T08:27,536366,M,Manual,1,1.0,17850,{UK}",  # a service
        f"2010-12-01T08:27,536366,2263,FOUR DIGITS,1,1.0,17850,{UK}",  # not stock
        f"2010-12-01T08:28,536367,22632,WARMER,0,1.85,17850,{UK}",  # nothing moved
        f"2010-12-01T08:29,C536368,22633,WARMER,-2,1.85,17850,{UK}",  # a return
        f"2010-12-01T08:30,536369,22634,damaged,-10,0.0,,{UK}",  # a correction downwards
        f"2010-12-01T08:31,536370,22635,found,7,0.0,,{UK}",  # a correction upwards
        f"2010-12-01T08:32,536371,22636,lost,-4,1.25,17850,{UK}",  # negative without being a return
        f"2010-12-01T08:33,536372,22637,gift,5,0.0,17850,{UK}",  # free of charge, but sold to somebody
    )
    assert kinds(events) == [
        (1, "SALE", "85123A", 6),
        (6, "RETURN", "22633", 2),
        (7, "SHRINK", "22634", 10),
        (8, "FOUND", "22635", 7),
        (9, "SHRINK", "22636", 4),
        (10, "SALE", "22637", 5),
    ]
    assert events[0].occurred_at_ms == 1_291_191_960_000
    assert events[0].document == "536365"


def test_channel_and_home(tmp_path: Path) -> None:
    events = read(
        tmp_path,
        f"2010-12-01T08:26,1,22632,A,1,1.0,17850,{UK}",
        f"2010-12-01T08:26,2,22632,A,1,1.0,,{UK}",
        "2010-12-01T08:26,3,22632,A,1,1.0,12583,France",
        "2010-12-01T08:26,4,22632,A,1,1.0,,France",  # its postage stands on a later line
        f"2010-12-01T08:26,5,22632,A,1,1.0,17851,{UK}",
        f"2010-12-01T08:26,5,dcgs0003,BOXED GLASS ASHTRAY,1,1.0,17851,{UK}",
        "2010-12-01T08:26,4,DOT,DOTCOM POSTAGE,1,60.0,,France",
    )
    assert [(event.channel, event.home_key) for event in events] == [
        ("trade", "17850"),
        ("counter", "2"),
        ("export", "12583"),
        ("web", "4"),
        ("web", "17851"),
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"2010-12-01T08:26,1,22632,A,many,1.0,17850,{UK}", "row 2, column qty: 'many' is not a whole number"),
        (f"2010-12-01T08:26,1,22632,A,1,free,,{UK}", "row 2, column price: 'free' is not a number"),
        (f"yesterday,1,22632,A,1,1.0,17850,{UK}", "row 2, column ts: 'yesterday' is not a moment"),
        ("2010-12-01T08:26,1,22632", "row 2: 3 columns instead of 8"),
    ],
)
def test_a_bad_line_is_named_with_row_and_column(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(HistoryFault, match=told):
        read(tmp_path, f"2010-12-01T08:26,1,22632,A,1,1.0,17850,{UK}", line)


def test_files_of_another_kind(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("sku,location\n")
    with pytest.raises(HistoryFault, match="the first line must be ts,invoice"):
        list(FORMATS["online-retail"].events(other))
    with pytest.raises(HistoryFault, match="No such file"):
        list(FORMATS["online-retail"].events(tmp_path / "none.csv"))
    half = tmp_path / "half.csv.gz"
    half.write_bytes(write_history(tmp_path / "whole.csv.gz").read_bytes()[:500])
    with pytest.raises(HistoryFault, match="half"):
        list(FORMATS["online-retail"].events(half))


def test_the_made_up_history_has_every_kind_and_channel(tmp_path: Path) -> None:
    """So that the tests of loading it mean something."""
    events = list(FORMATS["online-retail"].events(write_history(tmp_path / "history.csv.gz")))
    assert set(Counter(event.kind for event in events)) == set(EventKind)
    assert set(Counter(event.channel for event in events)) == set(FORMATS["online-retail"].channels)
    assert [event.row for event in events] == sorted(event.row for event in events)
