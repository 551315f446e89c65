"""Units to locations at the least cost, when it is known which lines may take from which locations: a flow.

    line -> (SKU, location) -> location -> end         what is missing: line -> end

Each arrow has a limit: what the line can have there, what there is of the SKU, the capacity. Costs lie on the first
one. Units are sent one path after the other, each the cheapest that is left (what was sent can be sent back), which
keeps the flow the cheapest of its size, and whole (J. Edmonds, R. M. Karp, *Theoretical improvements in algorithmic
efficiency for network flow problems*, Journal of the ACM 19, 1972).
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.sourcing_basket import CAPACITY, KEY_MAX, NEED, SHORT, SKU, clear, clear_plan
from invengine.kernels.steps import part, routine

_FAR = KEY_MAX * 2


@part
def _paths(basket, flow, least, most, cost, of_sku, at, short, start, distance, before):
    """Fill `distance` and `before` [nodes] with the cheapest ways from the node `start` to each, KEY_MAX * 2 for none.

    Nodes: lines, then (SKU, location), then locations, then the end. flow, least, most, cost [L, J] of J locations.
    """
    n_lines, n_places = flow.shape
    n_skus = of_sku.shape[0]
    pairs, places = n_lines, n_lines + n_skus * n_places
    end = places + n_places
    for node in range(len(distance)):
        distance[node], before[node] = _FAR, -1
    distance[start] = 0
    changed = True
    while changed:
        changed = False
        basket.work[0] += (n_lines + 3 * n_skus) * n_places
        for line in range(n_lines):
            for j in range(n_places):
                pair = pairs + basket.lines[SKU, line] * n_places + j
                if flow[line, j] < most[line, j] and distance[line] + cost[line, j] < distance[pair]:
                    distance[pair], before[pair], changed = distance[line] + cost[line, j], line, True
                back = distance[pair] - cost[line, j]
                if flow[line, j] > least[line, j] and distance[pair] < _FAR and back < distance[line]:
                    distance[line], before[line], changed = back, pair, True
            if basket.lines[SHORT, line] >= 0:
                if distance[line] + basket.lines[SHORT, line] < distance[end]:
                    distance[end], before[end], changed = distance[line] + basket.lines[SHORT, line], line, True
                if (
                    short[line] > 0
                    and distance[end] < _FAR
                    and distance[end] - basket.lines[SHORT, line] < distance[line]
                ):
                    distance[line], before[line], changed = distance[end] - basket.lines[SHORT, line], end, True
        for j in range(n_places):
            place = places + j
            for s in range(n_skus):
                pair = pairs + s * n_places + j
                if of_sku[s, j] < basket.available[s, at[j]] and distance[pair] < distance[place]:
                    distance[place], before[place], changed = distance[pair], pair, True
                if of_sku[s, j] > 0 and distance[place] < distance[pair]:
                    distance[pair], before[pair], changed = distance[place], place, True
            in_all = 0
            for s in range(n_skus):
                in_all += of_sku[s, j]
            if in_all < basket.places[CAPACITY, at[j]] and distance[place] < distance[end]:
                distance[end], before[end], changed = distance[place], place, True
            if in_all > 0 and distance[end] < distance[place]:
                distance[place], before[place], changed = distance[end], end, True


@part
def _send(basket, flow, least, most, of_sku, at, short, start, end_node, before, units):
    """Send up to `units` along the way to `end_node` that `before` tells; returns how many went."""
    n_lines, n_places = flow.shape
    n_skus = of_sku.shape[0]
    pairs, places = n_lines, n_lines + n_skus * n_places
    end = places + n_places
    for sends in range(2):  # how many can go all the way, then these
        node = end_node
        while node != start:
            earlier = before[node]
            if earlier < pairs and node < places:  # a line to what there is of its SKU
                j = (node - pairs) % n_places
                if sends:
                    flow[earlier, j] += units
                else:
                    units = min(units, most[earlier, j] - flow[earlier, j])
            elif node < pairs and earlier < places:  # and back
                j = (earlier - pairs) % n_places
                if sends:
                    flow[node, j] -= units
                else:
                    units = min(units, flow[node, j] - least[node, j])
            elif earlier < pairs and node == end:
                if sends:
                    short[earlier] += units
            elif earlier == end and node < pairs:
                if sends:
                    short[node] -= units
                else:
                    units = min(units, short[node])
            elif pairs <= earlier < places:
                s, j = (earlier - pairs) // n_places, (earlier - pairs) % n_places
                if sends:
                    of_sku[s, j] += units
                else:
                    units = min(units, basket.available[s, at[j]] - of_sku[s, j])
            elif pairs <= node < places:
                s, j = (node - pairs) // n_places, (node - pairs) % n_places
                if sends:
                    of_sku[s, j] -= units
                else:
                    units = min(units, of_sku[s, j])
            else:
                j = (earlier if node == end else node) - places
                in_all = 0
                for s in range(n_skus):
                    in_all += of_sku[s, j]
                if not sends:
                    room = basket.places[CAPACITY, at[j]] - in_all
                    units = min(units, room if node == end else in_all)
            node = earlier
    return units


@part
def _send_directly(basket, at, line, most, cost, flow, of_sku, short, left):
    """Send up to `left` units of a line the cheapest way of its own, if no way round can be cheaper; returns how many.

    What comes after the first arrow costs nothing or more, as long as the flow is a cheapest one: else there were a
    way round that saves something. So where the line's cheapest arrow, if it has room, goes on to the end, that is it.
    """
    n_places = flow.shape[1]
    least, best, best_room = _FAR, -1, 0
    basket.work[0] += n_places + of_sku.shape[0]
    for j in range(n_places):
        if flow[line, j] < most[line, j] and cost[line, j] <= least:
            in_all = 0
            for s in range(of_sku.shape[0]):
                in_all += of_sku[s, j]
            sku = basket.lines[SKU, line]
            room = min(basket.available[sku, at[j]] - of_sku[sku, j], basket.places[CAPACITY, at[j]] - in_all)
            if cost[line, j] < least or best_room == 0:
                least, best, best_room = cost[line, j], j, min(room, most[line, j] - flow[line, j])
    if basket.lines[SHORT, line] >= 0 and basket.lines[SHORT, line] <= least:
        short[line] += left
        return left
    units = min(left, best_room)
    if units > 0:
        flow[line, best] += units
        of_sku[basket.lines[SKU, line], best] += units
    return units


@routine
def cheapest_flow(basket, at, least, most, cost, flow, of_sku, short):
    """Fill `flow` [L, J] with the cheapest units from the locations `at` [J]; False when a line cannot have its units.

    least, most [L, J] units, cost [L, J] key of a unit; of_sku [K, J] and short [L] are filled too: units of a SKU that
    leave a location, units that are missing.
    """
    n_lines, n_places = flow.shape
    clear_plan(of_sku)
    clear(short)
    for j in range(n_places):
        in_all = 0
        for line in range(n_lines):
            flow[line, j] = least[line, j]
            of_sku[basket.lines[SKU, line], j] += least[line, j]
            in_all += least[line, j]
            if (
                least[line, j] > most[line, j]
                or of_sku[basket.lines[SKU, line], j] > basket.available[basket.lines[SKU, line], at[j]]
            ):
                return False
        if in_all > basket.places[CAPACITY, at[j]]:
            return False
    nodes = n_lines + of_sku.size + n_places + 1
    distance, before = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    for line in range(n_lines):
        left = basket.lines[NEED, line]
        for j in range(n_places):
            left -= flow[line, j]
        if left < 0:
            return False
        while left > 0:
            units = _send_directly(basket, at, line, most, cost, flow, of_sku, short, left)
            left -= units
            if units > 0:
                continue
            _paths(basket, flow, least, most, cost, of_sku, at, short, line, distance, before)
            if distance[nodes - 1] >= _FAR:
                return False
            left -= _send(basket, flow, least, most, of_sku, at, short, line, nodes - 1, before, left)
    return True


@routine
def earliest_flow(basket, at, least, most, cost, flow, of_sku, short):
    """Change a cheapest flow to the one that has most units at the first location for the first line, and so on.

    Where a line could have more somewhere at no cost, there is a way round from there back to the line that costs
    nothing; it is gone until there is none. Then these units stay, and the next line, or location, has its turn.
    """
    n_lines, n_places = flow.shape
    pairs = n_lines
    nodes = n_lines + of_sku.size + n_places + 1
    distance, before = np.empty(nodes, np.int64), np.empty(nodes, np.int64)
    for j in range(n_places):
        for line in range(n_lines):
            pair = pairs + basket.lines[SKU, line] * n_places + j
            while flow[line, j] < most[line, j]:
                room = most[line, j] - flow[line, j]
                held = least[line, j]
                least[line, j] = flow[line, j]  # straight back is no way round
                _paths(basket, flow, least, most, cost, of_sku, at, short, pair, distance, before)
                least[line, j] = held
                if distance[line] >= _FAR or distance[line] + cost[line, j] != 0:
                    break
                sent = _send(basket, flow, least, most, of_sku, at, short, pair, line, before, room)
                flow[line, j] += sent
            least[line, j] = flow[line, j]
            most[line, j] = flow[line, j]
