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
from invengine.services.sourcing_dates import journeys
from invengine.services.sourcing_ground import Ground
from invengine.services.sourcing_offers import Stock
from invengine.services.sourcing_parcels import parcels
from invengine.services.sourcing_problems import Problems
from invengine.services.sourcing_steps import short_lines, waiting
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
        found = _Sourcing(basket, by)
        if found.is_short:
            late = short_lines(basket) or [line for line, asked in enumerate(lines) if asked.may_wait]
            if late:
                found = _Sourcing(waiting(basket, late, offers), by)
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

    def __init__(self, basket: Basket, dating: Dating) -> None:
        self._basket = basket
        self._ways = [journeys(basket, lines, dating) for lines in _ways(basket)]
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
