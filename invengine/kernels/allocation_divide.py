"""Scarce units of one SKU divided among those who claim them, in proportion to the claims, as far as stock lets it.

Elements are served by types of lines (lines that may use the same locations), types by locations. What elements can
have together is a polymatroid: if a set of them can get no more, whoever of them gets which of it takes nothing from
the others. So shares are found from the leanest set on (N. Megiddo, *Optimal flows in networks with multiple sources
and sinks*, Mathematical Programming 7, 1974): its part of its claims is the least that any set can be held to. That
part is a fraction of whole numbers, found by going from one set that stands in the way to the next (Newton's method
for fractions), and never rounded; then the set's units are made whole by largest remainder, one by one.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from invengine.kernels.allocation_flow import SINK, SOURCE, clear, fill, join, new_network
from invengine.kernels.allocation_sort import sort
from invengine.kernels.steps import part, routine

ENDLESS = 2**62

# One SKU: T types, N locations, E elements, A arcs from elements to types, M members (who claims, for an element)
#   stock [N]     may [T, N] 1: the type may use the location
#   base [E] units that an element must have     claim [E] units beyond that it claims
#   arc_element, arc_type, arc_units [A]         size [3]: elements, arcs and members in use
#   member, weight, given [M] its element, its claim, what it gets     order, key, stuck: room to work in
#   cut [E], door [E] arc from the source, net: the network
Shares = namedtuple(
    "Shares",
    "stock may base claim arc_element arc_type arc_units size member weight given items key stuck cut door net",
)


@routine
def new_shares(stock, may, elements, arcs, members):
    """Room for one SKU: so many elements, arcs from elements to types, and members."""
    n_types, n_locations = may.shape
    nodes = 2 + n_locations + n_types + elements
    return Shares(
        stock,
        may,
        np.zeros(elements, np.int64),
        np.zeros(elements, np.int64),
        np.zeros(arcs, np.int64),
        np.zeros(arcs, np.int64),
        np.zeros(arcs, np.int64),
        np.zeros(3, np.int64),
        np.zeros(members, np.int64),
        np.zeros(members, np.int64),
        np.zeros(members, np.int64),
        np.zeros(members, np.int64),
        np.zeros(members, np.int64),
        np.zeros(elements, np.int64),
        np.zeros(elements, np.int64),
        np.zeros(elements, np.int64),
        new_network(nodes, n_types * n_locations + n_locations + elements + arcs),
    )


@part
def add_element(shares, base):
    """An element that must have so many units; returns its number."""
    element = shares.size[0]
    shares.size[0] += 1
    shares.base[element], shares.claim[element] = base, 0
    return element


@part
def add_arc(shares, element, kind, units):
    """An element may have so many units by a type of lines."""
    arc = shares.size[1]
    shares.size[1] += 1
    shares.arc_element[arc], shares.arc_type[arc], shares.arc_units[arc] = element, kind, units


@part
def add_member(shares, element, weight):
    """Somebody who claims units for an element; returns its number."""
    member = shares.size[2]
    shares.size[2] += 1
    shares.member[member], shares.weight[member], shares.given[member] = element, weight, 0
    shares.claim[element] += weight
    return member


@part
def build(shares, over, under):
    """The network, in units of 1 / under: elements must have their base and over / under of their claim."""
    net, n_locations, n_types = shares.net, len(shares.stock), len(shares.may)
    kinds, elements = 2 + n_locations, 2 + n_locations + n_types
    clear(net, elements + shares.size[0])
    for n in range(n_locations):
        if shares.stock[n] > 0:
            join(net, 2 + n, SINK, shares.stock[n] * under)
    for kind in range(n_types):
        for n in range(n_locations - 1, -1, -1):
            if shares.may[kind, n] == 1 and shares.stock[n] > 0:
                join(net, kinds + kind, 2 + n, ENDLESS)
    for arc in range(shares.size[1]):
        join(net, elements + shares.arc_element[arc], kinds + shares.arc_type[arc], shares.arc_units[arc] * under)
    for e in range(shares.size[0]):
        shares.door[e] = join(net, SOURCE, elements + e, shares.base[e] * under + shares.claim[e] * over)


@part
def lean_set(shares):
    """(units, claims) of the set of elements that stands in the way in the network as it is; `cut` has 1 for them."""
    net, n_locations, n_types = shares.net, len(shares.stock), len(shares.may)
    kinds, elements = 2 + n_locations, 2 + n_locations + n_types
    units, claims = 0, 0
    for n in range(n_locations):
        if net.level[2 + n] >= 0:
            units += shares.stock[n]
    for e in range(shares.size[0]):
        shares.cut[e] = 1 if net.level[elements + e] >= 0 else 0
        if shares.cut[e] == 1:
            units -= shares.base[e]
            claims += shares.claim[e]
    for arc in range(shares.size[1]):
        if shares.cut[shares.arc_element[arc]] == 1 and net.level[kinds + shares.arc_type[arc]] < 0:
            units += shares.arc_units[arc]
    return units, claims


@part
def round_off(shares, over, under):
    """Give the members of the set its units: of over / under of each claim the whole part, then by largest remainder.

    Of equal remainders the earlier member's comes first. One more is given where the network lets it through, with
    what all others must have; where it does not, no later member of that element gets one either.
    """
    count, left = 0, over
    for member in range(shares.size[2]):
        e = shares.member[member]
        if shares.cut[e] == 1 and shares.claim[e] > 0:
            product = shares.weight[member] * over
            shares.given[member] = product // under
            left -= product // under
            shares.items[count], shares.key[member] = member, -(product % under)
            count += 1
    for i in range(count):
        shares.base[shares.member[shares.items[i]]] += shares.given[shares.items[i]]
    if left == 0:
        return
    sort(shares.key, shares.items, count)
    claims = shares.claim  # those of others must not be in the network now
    build(shares, 0, 1)
    fill(shares.net, ENDLESS)
    shares.stuck[: shares.size[0]] = 0
    for i in range(count):
        e = shares.member[shares.items[i]]
        if left > 0 and shares.stuck[e] == 0 and claims[e] > 0 and shares.key[shares.items[i]] < 0:
            shares.net.room[shares.door[e]] += 1
            if fill(shares.net, 1) == 1:
                shares.given[shares.items[i]] += 1
                shares.base[e] += 1
                left -= 1
            else:
                shares.net.room[shares.door[e]] -= 1
                shares.stuck[e] = 1


@part
def divide(shares):
    """Fill `given` with the units of each member, and add them to the base of its element.

    The base of all elements has to be possible. Ends with every claim 0.
    """
    over, under = 1, 1
    shares.cut[: shares.size[0]] = 1
    while True:
        wanted, claims = 0, 0
        for e in range(shares.size[0]):
            wanted += shares.base[e] * under + shares.claim[e] * over
            claims += shares.claim[e]
        if claims == 0:
            return
        build(shares, over, under)
        if over == 0 or fill(shares.net, ENDLESS) == wanted:
            if over == under:
                shares.cut[: shares.size[0]] = 1
            round_off(shares, over if over < under else claims, under if over < under else claims)
            for e in range(shares.size[0]):
                if shares.cut[e] == 1:
                    shares.claim[e] = 0
            over, under = 1, 1
        else:
            over, under = lean_set(shares)
