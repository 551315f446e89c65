"""The made-up retailer: the same bytes for the same parameters, a network without faults, a believable shape."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections import Counter
from datetime import date
from itertools import islice
from pathlib import Path

import pytest

from invengine.cli import sample_data
from invengine.cli.sample_places import REGIONS
from invengine.domain.days import day_number
from invengine.domain.delivery_gaps import delivery_gaps
from invengine.domain.identifiers import identifier_problem
from invengine.domain.network import LocationKind, Network
from invengine.domain.orders import Fulfilment
from invengine.domain.stock import MovementKind

ROOT = Path(__file__).parent.parent
GENERATE = ROOT / "bench_data" / "generate.py"
SMALL = ROOT / "bench_data" / "small"
TODAY = day_number(date(2026, 11, 23))


@pytest.fixture(scope="module")
def retailer() -> sample_data.Retailer:
    return sample_data.make_retailer()


@pytest.fixture(scope="module")
def network(retailer: sample_data.Retailer) -> Network:
    return Network.parse(retailer.network)


def generated(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, GENERATE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_script_writes_the_bytes_that_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    done = generated(str(folder), "--skus", "12", "--locations", "6", "--seed", "1")
    assert (done.returncode, done.stderr) == (0, "")
    for name in (sample_data.NETWORK_FILE, sample_data.STOCK_FILE):
        assert (folder / name).read_bytes() == (SMALL / name).read_bytes()


def test_another_seed_is_another_retailer() -> None:
    one, other = (sample_data.make_retailer(skus=50, locations=8, seed=seed) for seed in (1, 2))
    assert one.stock != other.stock
    assert one.skus != other.skus
    assert one == sample_data.make_retailer(skus=50, locations=8, seed=1)


@pytest.mark.parametrize(
    "wrong", [("--skus", "0"), ("--skus", "1000001"), ("--locations", "2"), ("--locations", "4001")]
)
def test_sizes_that_make_no_retailer_are_refused(tmp_path: Path, wrong: tuple[str, str]) -> None:
    done = generated(str(tmp_path / "out"), *wrong)
    assert done.returncode == 2
    assert f"not {wrong[1]}" in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("skus", "locations"), [(1, 3), (3, 4), (60, 41), (20, 4000)])
def test_every_size_has_a_network_without_faults(skus: int, locations: int) -> None:
    made = sample_data.make_retailer(skus=skus, locations=locations)
    network = Network.parse(made.network)
    assert len(network.locations) == locations
    assert len({(place.latitude, place.longitude) for place in network.locations.values()}) == locations
    assert {row.location for row in made.stock} <= set(network.locations)
    assert {row.sku for row in made.stock} <= set(made.skus)
    assert delivery_gaps(network, TODAY) == ()


def test_everything_can_be_dated_from_everywhere(network: Network) -> None:
    delivery = network.delivery
    assert {delivery.zone_of(country, "1000") for country in REGIONS} == {country.lower() for country in REGIONS}
    assert delivery.zone_of("GB", "IV2 7GF") == "gb-remote"
    for name, place in network.locations.items():
        assert place.calendar is not None
        zone = "de" if place.country == "PL" else place.country.lower()
        assert {service for service in delivery.services if (name, zone, service) in delivery.lanes} == {
            "standard",
            "express",
        }
        if place.kind is LocationKind.STORE:
            assert place.opening is not None
            assert any(end == name for _, end in delivery.transfer_lanes)


def test_it_has_warehouses_stores_and_suppliers(network: Network) -> None:
    kinds = Counter(place.kind for place in network.locations.values())
    assert kinds == {LocationKind.WAREHOUSE: 2, LocationKind.SUPPLIER: 2, LocationKind.STORE: 36}
    assert set(network.channels) == {"web", "app", "till", "marketplace"}
    assert len(network.visible("web")) == 40
    assert {network.locations[name].kind for name in network.visible("till")} == {LocationKind.STORE}
    assert LocationKind.STORE not in {network.locations[name].kind for name in network.visible("marketplace")}
    for rules in (network.sku_safety, network.position_safety, network.location_safety, network.channel_safety):
        assert rules


def test_opening_stock_is_one_row_a_position_fit_for_import(retailer: sample_data.Retailer) -> None:
    rows = list(csv.DictReader(io.StringIO(retailer.stock_csv())))
    assert tuple(rows[0]) == sample_data.STOCK_COLUMNS
    assert len({(row["sku"], row["location"]) for row in rows}) == len(rows) == len(retailer.stock)
    assert len({row["event_id"] for row in rows}) == len(rows)
    assert {row["kind"] for row in rows} == {MovementKind.RECEIPT.value}
    assert min(int(row["quantity"]) for row in rows) > 0
    assert {identifier_problem(name) for row in rows for name in (row["sku"], row["location"], row["event_id"])} == {""}
    assert len({row["sku"] for row in rows}) == sample_data.SKUS


def test_few_products_make_most_of_the_demand(retailer: sample_data.Retailer) -> None:
    asked = Counter(line.sku for basket in islice(retailer.baskets(), 10_000) for line in basket.lines)
    popular = sum(asked[sku] for sku in retailer.skus[:200])
    assert 0.5 < popular / asked.total() < 0.9
    assert asked.most_common(1)[0][0] == retailer.skus[0]


def test_baskets_are_ones_that_the_network_can_serve(retailer: sample_data.Retailer, network: Network) -> None:
    channels = set()
    for basket in islice(retailer.baskets(), 2_000):
        channels.add(basket.channel)
        assert 1 <= len(basket.lines) <= 5
        for line in basket.lines:
            usable = network.usable(basket.channel, location=line.location, fulfilment=line.fulfilment)
            assert usable
            assert line.quantity >= 1
            assert (line.fulfilment is Fulfilment.PICKUP) is bool(line.location)
    assert channels == set(network.channels)


def test_customers_come_in_the_same_order_each_time(retailer: sample_data.Retailer) -> None:
    assert list(islice(retailer.baskets(), 50)) == list(islice(retailer.baskets(), 50))


def test_past_deliveries_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    """And the network that comes with them has no fault and knows where all of them went."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        command = [
            sys.executable,
            ROOT / "bench_data" / "deliveries.py",
            folder,
            "--deliveries",
            "500",
            "--lost",
            "0.1",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    for name in ("network.yaml", "deliveries.csv", "known.csv"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    delivery = Network.parse((folders[0] / "network.yaml").read_text()).delivery
    with (folders[0] / "deliveries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 500
    lanes = {(row["location"], delivery.zone_of(row["country"], row["postal_code"]), row["service"]) for row in rows}
    assert lanes <= delivery.lanes.keys()
    assert 0.05 < sum(not row["delivered"] for row in rows) / 500 < 0.25
    with (folders[0] / "known.csv").open(newline="") as file:
        known = list(csv.DictReader(file))
    assert sum(float(row["probability"]) for row in known) == pytest.approx(len(delivery.lanes), abs=1e-4)


def test_rules_for_few_deliveries_are_compared() -> None:
    command = [sys.executable, ROOT / "bench_data" / "strengths.py", "--deliveries", "400", "--worlds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:4]] == ["oracle", "minimum of 10"]
