"""invengine atp."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from tests.cli.servers import CommandLine


def day(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def expect(invengine: CommandLine, receipt: str, sku: str, location: str, units: int, days: int) -> None:
    invengine.run("incoming", "set", receipt, sku, location, str(units), day(days))


def stock(invengine: CommandLine, sku: str, **units: int) -> None:
    for location, quantity in units.items():
        invengine.run("stock", "post", "RECEIPT", sku, location, str(quantity))


def test_steps_are_a_table_and_a_plot(invengine: CommandLine) -> None:
    stock(invengine, "atp-one", WH1=5, ST1=2)
    expect(invengine, "atp-1", "atp-one", "WH1", 3, 10)
    expect(invengine, "atp-2", "atp-one", "ST1", 4, 10)
    expect(invengine, "atp-3", "atp-one", "WH1", 2, 20)
    lines = invengine.run("atp", "atp-one", "--channel", "web", "--days", "40").stdout.splitlines()
    assert [line.split(maxsplit=4) for line in lines[:4]] == [
        ["date", "in_days", "units", "more", "locations"],
        [day(0), "0", "7", "ST1", "2, WH1 5"],
        [day(10), "10", "14", "+7", "ST1 +4, WH1 +3"],
        [day(20), "20", "16", "+2", "WH1 +2"],
    ]
    assert lines[4] == ""
    plot = lines[5:]
    assert plot[0] == "16 │" + " " * 20 + "█" * 20
    assert plot[-3] == " 0 │" + "█" * 40
    assert plot[-1].split() == [day(0), day(39)]
    assert not any("\x1b" in line for line in lines)


def test_json_is_proto_json_and_csv_has_a_line_for_each_step(invengine: CommandLine) -> None:
    stock(invengine, "atp-json", WH1=5)
    expect(invengine, "atp-4", "atp-json", "WH1", 3, 10)
    answer = invengine.json("atp", "atp-json", "--channel", "web", "--location", "WH1", "--fresh", "latest")
    in_ten = date.fromisoformat(day(10))
    assert (answer["available"], [step["units"] for step in answer["steps"]]) == (5, [5, 8])
    assert answer["positions"][0]["steps"][1] == {
        "date": {"year": in_ten.year, "month": in_ten.month, "day": in_ten.day},
        "units": 8,
    }
    lines = invengine.run("atp", "atp-json", "--channel", "web", "--csv").stdout.splitlines()
    assert lines == [
        "location,date,units",
        f"WH1,{day(0)},5",
        f"WH1,{day(10)},8",
        f",{day(0)},5",
        f",{day(10)},8",
    ]
    assert "not both" in invengine.run("atp", "atp-json", "--channel", "web", "--csv", "--json", exit_code=2).stderr


def test_units_ask_for_the_day_from_which_on_there_are_so_many(invengine: CommandLine) -> None:
    stock(invengine, "atp-when", WH1=5, ST1=2)
    expect(invengine, "atp-5", "atp-when", "WH1", 3, 100)
    command = ("atp", "atp-when", "--channel", "web", "--units")
    shown = invengine.run(*command, "7")
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["location", "date", "in_days"],
        ["ST1", "never"],
        ["WH1", day(100), "100"],
        ["all", "together", day(0), "0"],
    ]
    never = invengine.run(*command, "11")
    assert never.stdout.split().count("never") == 3
    assert never.stderr == f"Until {day(729)} there are at most 10.\n"
    assert invengine.json(*command, "8") == {
        "units": 8,
        "date": day(100),
        "lastDate": day(729),
        "positions": [{"location": "ST1", "date": None}, {"location": "WH1", "date": day(100)}],
    }
    assert invengine.json(*command, "8", "--days", "90")["date"] is None
    lines = invengine.run(*command, "8", "--csv").stdout.splitlines()
    assert lines == ["location,date", "ST1,", f"WH1,{day(100)}", f",{day(100)}"]


def test_what_is_special_is_said(invengine: CommandLine) -> None:
    stock(invengine, "atp-said", WH1=5)
    expect(invengine, "atp-6", "atp-said", "WH1", 3, 0)
    expect(invengine, "atp-7", "atp-said", "OLD", 3, 5)
    shown = invengine.run("atp", "atp-said", "--channel", "web")
    assert shown.stderr.splitlines() == [
        "Now 5 can be taken; what is expected today is in today's number.",
        "OLD promises nothing: LOCATION_DISABLED.",
    ]
    kit = invengine.run("atp", "av-set", "--channel", "web", "--location", "WH1")
    assert kit.stderr.startswith("A kit of 1 av-sofa (")
    assert "Record its first stock" in invengine.run("atp", "nothing-near", "--channel", "web", exit_code=3).stderr
    assert "INVENGINE_CHANNEL" in invengine.run("atp", "atp-said", exit_code=2).stderr
    invengine.run("atp", "atp-said", "--channel", "web", "--days", "731", exit_code=2)


def test_availability_says_from_when_on_there_is_more(invengine: CommandLine) -> None:
    stock(invengine, "atp-next", WH1=5)
    expect(invengine, "atp-8", "atp-next", "WH1", 3, 10)
    shown = invengine.run("availability", "atp-next", "--channel", "web")
    assert shown.stderr == f"Expected next: 3 on {day(10)}.\nMore can be promised from {day(10)} on.\n"
