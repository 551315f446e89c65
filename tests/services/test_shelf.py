"""Takes tried in thought: the rules of the store, told once more by examples."""

from __future__ import annotations

from invengine.domain.orders import Candidate, Future, LineRequest
from tests.services.shelves import NOW_DAY, FakeReplica


def line(quantity: int, *, split: bool = False, future: Future | None = None) -> LineRequest:
    return LineRequest("1", "LAMP", quantity, (), allow_split=split, future=future)


def at(*locations: str, safety: int = 0) -> tuple[Candidate, ...]:
    return tuple(Candidate(location, safety) for location in locations)


def test_expired_holds_do_not_count_and_safety_stock_stays() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 10, reserved=6, expired=4)
    shelf = replica.shelf()
    assert shelf.on_hand("LAMP", Candidate("A")) == 8
    assert shelf.on_hand("LAMP", Candidate("A", 3)) == 5
    assert shelf.on_hand("LAMP", Candidate("A", 0, 5000)) == 3
    assert shelf.on_hand("LAMP", Candidate("B")) == 0
    assert shelf.on_hand("CHAIR", Candidate("A")) == 0


def test_a_channel_takes_its_own_ring_fence_and_what_is_fenced_for_nobody() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 10, fences={"web": 3, "till": 5})
    assert replica.shelf("web").on_hand("LAMP", Candidate("A")) == 5
    assert replica.shelf("till").on_hand("LAMP", Candidate("A")) == 7
    assert replica.shelf("app").on_hand("LAMP", Candidate("A")) == 2
    assert replica.shelf("web", borrows=False).on_hand("LAMP", Candidate("A")) == 3
    assert replica.shelf("app", borrows=False).on_hand("LAMP", Candidate("A")) == 0


def test_a_take_lowers_the_own_ring_fence_first_and_can_be_undone() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 10, fences={"web": 3, "till": 5})
    shelf = replica.shelf("web")
    mark = shelf.mark()
    assert shelf.take(line(4), at("A"), best_effort=False).units == 4
    assert shelf.on_hand("LAMP", Candidate("A")) == 1
    shelf.undo(mark)
    assert shelf.on_hand("LAMP", Candidate("A")) == 5


def test_a_count_that_found_less_leaves_ring_fences_without_a_pool() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 4, fences={"web": 3, "till": 5})
    assert replica.shelf("web").on_hand("LAMP", Candidate("A")) == 3
    assert replica.shelf("app").on_hand("LAMP", Candidate("A")) == 0


def test_a_line_is_whole_at_the_first_place_that_has_it_or_is_split_in_order() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 3)
    replica.position("LAMP", "B", 5)
    shelf = replica.shelf()
    mark = shelf.mark()
    assert shelf.take(line(5), at("A", "B"), best_effort=False).locations == {"B"}
    shelf.undo(mark)
    split = shelf.take(line(6, split=True), at("A", "B"), best_effort=False)
    assert (split.units, split.locations) == (6, {"A", "B"})
    assert [shelf.on_hand("LAMP", candidate) for candidate in at("A", "B")] == [0, 2]


def test_what_is_short_takes_nothing_unless_best_effort() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 3)
    replica.position("LAMP", "B", 5)
    for split, best in ((False, 5), (True, 8)):
        shelf = replica.shelf()
        assert shelf.take(line(9, split=split), at("A", "B"), best_effort=False).units == best
        assert [shelf.on_hand("LAMP", candidate) for candidate in at("A", "B")] == [3, 5]
        assert shelf.take(line(9, split=split), at("A", "B"), best_effort=True).units == best
        assert sum(shelf.on_hand("LAMP", candidate) for candidate in at("A", "B")) == 8 - best


def test_future_stock_comes_after_what_is_on_hand_anywhere_the_earliest_day_first() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 0)
    replica.position("LAMP", "B", 2)
    replica.receipt("LAMP", "A", "po-late", 9, 4)
    replica.receipt("LAMP", "B", "po-soon", 2, 4, pegged=3)
    replica.backorder("LAMP", "A", 1)
    shelf = replica.shelf()
    waits = Future(0, 3)
    taken = shelf.take(line(8, split=True, future=waits), at("A", "B"), best_effort=False)
    assert (taken.units, taken.on_hand, taken.locations) == (8, 2, {"A", "B"})
    assert shelf.coming("LAMP", ("A", "B")) == []
    assert shelf.future("LAMP", waits, "A") == 1  # of three that may be backordered one was, and one more is now
    assert shelf.future("LAMP", waits, "B") == 3


def test_only_receipts_in_time_count_and_an_overdue_one_counts_as_tomorrow() -> None:
    replica = FakeReplica()
    replica.receipt("LAMP", "A", "po-overdue", -5, 2)
    replica.receipt("LAMP", "A", "po-later", 3, 2)
    shelf = replica.shelf()
    assert [one.day for one in shelf.coming("LAMP", ("A",))] == [NOW_DAY + 1, NOW_DAY + 3]
    in_time = {days: shelf.future("LAMP", Future(NOW_DAY + days), "A") for days in range(4)}
    assert in_time == {0: 0, 1: 2, 2: 2, 3: 4}


def test_a_whole_line_waits_at_the_first_place_where_everything_together_is_enough() -> None:
    replica = FakeReplica()
    replica.position("LAMP", "A", 1)
    replica.position("LAMP", "B", 3)
    replica.receipt("LAMP", "A", "po", 1, 5)
    replica.receipt("LAMP", "B", "po", 1, 5)
    waits = Future()
    assert replica.shelf().take(line(3, future=waits), at("A", "B"), best_effort=False).locations == {"B"}
    assert replica.shelf().take(line(6, future=waits), at("A", "B"), best_effort=False).locations == {"A"}
    assert replica.shelf().take(line(8, future=waits), at("A", "B"), best_effort=False).locations == {"B"}
    short = replica.shelf().take(line(9, future=waits), at("A", "B"), best_effort=True)
    assert (short.units, short.on_hand, short.locations) == (8, 3, {"B"})
