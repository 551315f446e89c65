"""Ids that the engine gives: the same for every repeat, plain, and in the partition of the stock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.partitions import PARTITIONS_MAX, partition_of
from invengine.services import validation
from invengine.services.reservation_ids import ANYWHERE, ReservationIds

names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=16)
POWERS = tuple(2**n for n in range(11))


def test_a_derived_id_is_a_plain_id_of_its_own_channel_and_request() -> None:
    for ids in (ANYWHERE, ReservationIds(64, near_stock=True)):
        made = {ids.derived(channel, request, "LAMP") for channel in ("a", "b") for request in ("x", "y", "ü" * 32)}
        assert len(made) == 6
        assert all(validation.is_plain(one) and one.isalnum() for one in made)
        assert ids.derived("web", "r", "LAMP") == ids.derived("web", "r", "LAMP")


@pytest.mark.parametrize("partitions", POWERS)
@given(channel=names, request_id=names, sku=names)
def test_it_lies_in_the_partition_of_the_sku(partitions: int, channel: str, request_id: str, sku: str) -> None:
    made = ReservationIds(partitions, near_stock=True).derived(channel, request_id, sku)
    assert partition_of(made, partitions) == partition_of(sku, partitions)


@given(partitions=st.integers(2, PARTITIONS_MAX), request_id=names, sku=names)
def test_so_for_any_number_of_partitions(partitions: int, request_id: str, sku: str) -> None:
    made = ReservationIds(partitions, near_stock=True).derived("web", request_id, sku)
    assert made.startswith(ANYWHERE.derived("web", request_id, sku))
    assert partition_of(made, partitions) == partition_of(sku, partitions)


@given(request_id=names, one=names, other=names)
def test_where_a_call_sees_one_partition_the_lines_do_not_matter(request_id: str, one: str, other: str) -> None:
    ids = ReservationIds(64, near_stock=False)
    assert ids.derived("web", request_id, one) == ids.derived("web", request_id, other)
