"""Zones by postal code, and what lanes and preparation say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.calendars import ALWAYS
from invengine.domain.delivery import NO_DELIVERY, Delivery, Lane, Preparation, Zones
from invengine.domain.postal import postal_prefix

COUNTRIES = st.sampled_from(["DE", "GB"])
CODES = st.text("189A ab-", max_size=7)
PREFIXES = st.dictionaries(
    st.tuples(COUNTRIES, CODES.map(postal_prefix)), st.sampled_from(["x", "y", "z"]), max_size=12
)


@given(PREFIXES, COUNTRIES, CODES)
def test_the_longest_prefix_wins(prefixes: dict[tuple[str, str], str], country: str, code: str) -> None:
    """As a search through all of them says."""
    clean = code.replace(" ", "").replace("-", "").upper()
    fitting = [
        (len(prefix), zone) for (of, prefix), zone in prefixes.items() if of == country and clean.startswith(prefix)
    ]
    expected = max(fitting, key=lambda found: found[0])[1] if fitting else ""
    assert Zones(prefixes).zone_of(country, code) == expected


def test_the_country_alone_is_the_shortest_prefix() -> None:
    zones = Zones({("GB", ""): "gb", ("GB", "IV"): "highlands", ("GB", "IV36"): "moray"})
    asked = ["EC1A 1BB", "iv1 1aa", "IV-36 3AA", "I", ""]
    assert [zones.zone_of("GB", code) for code in asked] == ["gb", "highlands", "moray", "gb", "gb"]
    assert zones.zone_of("IE", "IV1") == ""


def test_a_country_without_its_whole_has_codes_in_no_zone() -> None:
    zones = Zones({("FR", "20"): "corsica"})
    assert [zones.zone_of("FR", code) for code in ("20000", "2 0 000", "75009", "2")] == ["corsica", "corsica", "", ""]


def test_a_cut_off_of_a_service_comes_before_that_of_all() -> None:
    assert Preparation(cut_off=900, cut_offs={"express": 0}).cut_off_of("express") == 0
    assert Preparation(cut_offs={"express": 1020}).cut_off_of("standard") is None


def test_lanes_are_found_by_where_they_begin() -> None:
    lanes = {key: Lane(*key, 1, ALWAYS) for key in (("A", "z", "s"), ("B", "z", "s"), ("A", "y", "s"))}
    assert Delivery(lanes=lanes).lanes_from == {
        "A": (lanes["A", "z", "s"], lanes["A", "y", "s"]),
        "B": (lanes["B", "z", "s"],),
    }
    assert NO_DELIVERY.lanes_from == {}
