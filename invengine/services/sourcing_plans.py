"""Plans for baskets: the best one, the next one, what they cost by term, and why locations are left out.

A question, the network, what there is and when it would be there become the columns that the kernel of one basket
looks at (docs/sourcing.md); what it finds is told in words. Nothing is taken, nothing is awaited: whoever asks has made
sure that the replica is as fresh as it must be.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from invengine.domain.sourcing import FEWEST_PARCELS, BasketLine, Sourced
from invengine.services.sourcing_answers import in_words, plan_of, ruled_out
from invengine.services.sourcing_basket import Question, lay_out
from invengine.services.sourcing_dates import comes_later, journeys
from invengine.services.sourcing_ground import Ground
from invengine.services.sourcing_offers import Stock
from invengine.services.sourcing_parcels import parcels
from invengine.services.sourcing_problems import Problems
from invengine.services.sourcing_steps import Coming, short_lines
from invengine.services.sourcing_together import Planned, plan

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.domain.profiles import Profile
    from invengine.replica.replica import Replica
    from invengine.services.dating import Dating
    from invengine.services.sourcing_basket import Basket, Prices
    from invengine.services.sourcing_choice import Group
    from invengine.services.sourcing_dates import Journeys
    from invengine.services.sourcing_offers import Loans, Offers

GROUNDS_KEPT: Final = 4
"""Networks whose columns are kept: the one in force, and some that are tried."""


ROUNDS_MAX: Final = 4
"""Times that lines are planned again because what they take is there earlier."""


class SourcingPlans:
    """Plans baskets of one engine."""

    def __init__(self, replica: Replica, dating: Callable[[Network], Dating], prices: Prices | None = None) -> None:
        """`dating` answers what dates by a network; `prices` what scarce units are worth, None: nothing."""
        self._stock = Stock(replica)
        self._dating = dating
        self._prices = prices
        self._grounds: dict[int, Ground] = {}

    def source(
        self,
        lines: Sequence[BasketLine],
        *,
        channel: str,
        network: Network,
        now_ms: int,
        profile: Profile = FEWEST_PARCELS,
        best_effort: bool = False,
        parcels_max: int = 0,
        confidence_parts: int = 0,
        loans: Loans | None = None,
        stock: Offers | None = None,
        dating: Dating | None = None,
        explain: bool = True,
    ) -> Sourced:
        """The best plan for a basket, all or nothing unless `best_effort`.

        `parcels_max`  that are sent, 0 for any number; the profile's limit counts too
        `loans`        reserved units that count as free
        `stock`        what there is, in place of the replica's; `dating` likewise
        `explain`      whether the locations that are ruled out are told
        UnknownChannel, ChannelDisabled, UnknownLocation, LocationNotUsable, UnknownGroup, GroupNotUsable;
        UnknownService; InvalidArgument where a kit's components would be too many to be counted.
        """
        question = Question(lines, channel, profile, now_ms, best_effort, parcels_max, confidence_parts)
        ground = self._ground(network)
        offers = stock or self._stock.offers(network, channel, ground.names, now_ms, loans)
        by = dating or self._dating(network)
        basket = lay_out(question, ground, offers, self._prices)
        found = _dated(basket, by)
        if found.is_short:
            late = short_lines(basket) or [line for line, asked in enumerate(lines) if asked.may_wait]
            if late:
                found = _waited(Coming(basket, late, offers), by)
        return found.told(offers, explain=explain)

    def _ground(self, network: Network) -> Ground:
        found = self._grounds.get(id(network))
        if found is None:
            if len(self._grounds) >= GROUNDS_KEPT:
                del self._grounds[next(iter(self._grounds))]
            found = self._grounds[id(network)] = Ground(network)  # which keeps the network, so its id stays its own
        return found


class _Sourcing:
    """One basket, planned."""

    def __init__(self, basket: Basket, dating: Dating, *, together: bool = False) -> None:
        """`together`: where a day's units are limited, lines are dated as if all of them came from there."""
        self.basket = self._basket = basket
        self._ways = [journeys(basket, lines, dating, together=together) for lines in _ways(basket)]
        self._groups = [_trials(basket, way) for way in self._ways]
        self._planned: Planned = plan(basket, self._groups)

    @property
    def is_short(self) -> bool:
        """Whether the basket has no plan, or misses units."""
        best = self._planned.best
        if best is None:
            return True
        wanted = sum([line.quantity for line in self._basket.question.lines])
        return sum([int(part.found.units.sum()) for part in best.parts]) < wanted

    @property
    def bound(self) -> int | None:
        """No plan costs less; None: there is certainly none."""
        return self._planned.bound

    def lower_bound(self, bound: int | None) -> None:
        """Has it that a plan could cost as little as this."""
        if bound is not None and (self._planned.bound is None or bound < self._planned.bound):
            self._planned = self._planned._replace(bound=bound)

    def taken(self) -> dict[tuple[int, int], int]:
        """Units of the best plan by line and location, by their places."""
        found = {}
        for part in self._planned.best.parts if self._planned.best is not None else ():
            columns = part.parcels.columns.tolist()
            for line, of_line in zip(part.parcels.lines, part.found.units.tolist(), strict=True):
                found.update({(line, column): units for column, units in zip(columns, of_line, strict=True) if units})
        return found

    def comes_later(self, dating: Dating) -> bool:
        """Whether lines of the best plan would be later than each alone, for want of capacity."""
        parts = self._planned.best.parts if self._planned.best is not None else ()
        ways = {line: way for way in self._ways for line in way.lines if way.counted is not None}
        return any(
            comes_later(self._basket, ways[part.parcels.lines[0]], part, dating)
            for part in parts
            if part.parcels.lines[0] in ways
        )

    def told(self, offers: Offers, *, explain: bool) -> Sourced:
        """The answer."""
        basket, planned = self._basket, self._planned
        rules = ruled_out(basket, self._ways) if explain or planned.best is None else None
        ruled = in_words(basket, rules) if explain and rules is not None else ()
        if planned.best is None:
            assert rules is not None
            problem = Problems(basket, self._ways, rules, offers).of(self._groups, planned)
            return Sourced(None, None, ruled, planned.is_proved, planned.nodes, problem)
        best = plan_of(basket, planned.best, planned)
        following = None if planned.next is None else plan_of(basket, planned.next, planned)
        return Sourced(best, following, ruled, planned.is_proved, planned.nodes)


def _dated(basket: Basket, dating: Dating) -> _Sourcing:
    """A basket planned with each line dated as if it were alone; where that is too early for lines that are prepared on
    one limited day, with each dated as if all of them came from there. Then the first says what none costs less than.
    """
    found = _Sourcing(basket, dating)
    if not found.comes_later(dating):
        return found
    together = _Sourcing(basket, dating, together=True)
    together.lower_bound(found.bound)
    return together


def _waited(coming: Coming, dating: Dating) -> _Sourcing:
    """A basket with lines that wait. What a split line takes somewhere may be there earlier than all that it could have
    taken; then that day counts, and all is planned again.
    """
    found = _dated(coming.by_a_day(), dating)
    for _ in range(ROUNDS_MAX):
        earlier = coming.earlier(found.basket, found.taken())
        if earlier is None:
            break
        found = _dated(earlier, dating)
    at_best = coming.at_best()
    if at_best is not None:
        found.lower_bound(_Sourcing(at_best, dating).bound)
    return found


def _ways(basket: Basket) -> list[list[int]]:
    """The lines that go the same way to the same place."""
    found: dict[object, list[int]] = {}
    for line in range(len(basket.question.lines)):
        found.setdefault(basket.destination_of(line), []).append(line)
    return list(found.values())


def _trials(basket: Basket, way: Journeys) -> Group:
    """The lines of a way by each service that those may go by which name none; lines by one service share parcels."""
    asked = basket.question.lines
    place = {name: number for number, name in enumerate(way.services)}
    named = {line: place[asked[line].service] for line in way.lines if way.is_dated and asked[line].service}
    is_free = len(named) < len(way.lines)
    found = []
    for service in range(len(way.services) if is_free else 1):
        members: dict[int, list[int]] = {}
        for line in way.lines:
            members.setdefault(named.get(line, service), []).append(line)
        found.append([parcels(basket, way, lines, by) for by, lines in members.items()])
    return found
