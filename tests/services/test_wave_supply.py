"""The stock of a wave in cells: whatever is planned out of them can be taken, channel by channel in their order."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from invengine.services.wave_supply import Cell, Offer, Stock, cells_of


@dataclass
class Channel:
    """What decides how much it can take at a position."""

    kept: int
    fence: int
    borrows: bool


def free(unreserved: int, fences: dict[str, int], channel: Channel, name: str) -> int:
    """What a channel can take: docs/concepts.md, ring-fences."""
    pool = max(0, unreserved - sum(fences.values())) if channel.borrows else 0
    return max(0, min(unreserved - channel.kept, fences[name] + pool))


units = st.integers(0, 12)
channels = st.lists(st.builds(Channel, units, units, st.booleans()), min_size=1, max_size=4)


@given(st.integers(0, 40), channels, st.data())
def test_whatever_is_planned_out_of_the_cells_can_be_taken(
    unreserved: int, drawn: list[Channel], data: st.DataObject
) -> None:
    named = {f"c{number}": channel for number, channel in enumerate(drawn)}
    fences = {name: channel.fence for name, channel in named.items()}
    offers = {
        name: Offer(free(unreserved, fences, channel, name), channel.fence, unreserved - channel.kept)
        for name, channel in named.items()
    }
    cells = cells_of(offers)
    takes = dict.fromkeys(named, 0)
    for cell in cells:
        left = cell.units
        for name in sorted(cell.channels):
            units_taken = data.draw(st.integers(0, left))
            takes[name] += units_taken
            left -= units_taken
    for name, channel in named.items():  # in the order of committing
        assert takes[name] <= free(unreserved, fences, channel, name)
        fences[name] -= min(fences[name], takes[name])
        unreserved -= takes[name]


@given(st.integers(0, 40), channels)
def test_a_channel_alone_has_all_that_it_could_take(unreserved: int, drawn: list[Channel]) -> None:
    for channel in drawn:
        offered = free(unreserved, {"web": channel.fence}, channel, "web")
        cells = cells_of({"web": Offer(offered, channel.fence, unreserved - channel.kept)})
        assert sum(cell.units for cell in cells) == offered
        assert len(cells) <= 1


def test_channels_that_see_the_same_share_one_cell() -> None:
    both = frozenset(("till", "web"))
    assert cells_of({"till": Offer(7, 0, 7), "web": Offer(7, 0, 7)}) == [Cell(0, 7, both)]


def test_what_must_stay_for_one_channel_is_a_layer_for_the_other() -> None:
    assert cells_of({"web": Offer(5, 0, 5), "till": Offer(8, 0, 8)}) == [
        Cell(0, 5, frozenset(("web", "till"))),
        Cell(1, 3, frozenset(("till",))),
    ]


def test_a_ring_fence_is_a_cell_of_its_channel() -> None:
    assert cells_of({"web": Offer(9, 4, 12), "till": Offer(5, 0, 12)}) == [
        Cell(0, 4, frozenset(("web",))),
        Cell(1, 5, frozenset(("web", "till"))),
    ]


def test_stock_is_a_row_for_each_sku_and_a_column_for_each_layer_of_a_location() -> None:
    stock = Stock()
    stock.add("LAMP", "DC", [Cell(0, 5, frozenset("a")), Cell(1, 2, frozenset("b"))])
    stock.add("RUG", "LON", [Cell(0, 3, frozenset("a"))])
    stock.add("VASE", "DC", [])
    assert [(column.location, column.layer) for column in stock.columns] == [("DC", 0), ("DC", 1), ("LON", 0)]
    assert stock.block().tolist() == [[5, 2, 0], [0, 0, 3], [0, 0, 0]]
    assert stock.has_layers
    assert (stock.row("VASE"), stock.column("LON", 0)) == (2, 2)
