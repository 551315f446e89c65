"""The most that can flow through a network, and what stands in its way.

Paths of fewest arcs are filled level by level (E. A. Dinic, *Algorithm for solution of a problem of maximum flow in
networks with power estimation*, Soviet Mathematics Doklady 11, 1970). Node 0 is the source, node 1 the sink.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from invengine.kernels.steps import part, routine

SOURCE, SINK = 0, 1
_NODES, _ARCS = 0, 1  # in `size`

# Arcs come in pairs: arc a and back again a ^ 1. int64
#   first [nodes] its latest arc, -1     after [arcs] the next arc of the same node     to [arcs]     room [arcs] what
#   it lets through yet     level, turn [nodes], path [nodes] of the search     size [2] nodes and arcs in use
Network = namedtuple("Network", "first after to room level turn path size")


@routine
def new_network(nodes, arcs):
    """Room for so many nodes and arcs."""
    return Network(
        np.empty(nodes, np.int64),
        np.empty(2 * arcs, np.int64),
        np.empty(2 * arcs, np.int64),
        np.empty(2 * arcs, np.int64),
        np.empty(nodes, np.int64),
        np.empty(nodes, np.int64),
        np.empty(nodes, np.int64),
        np.zeros(2, np.int64),
    )


@part
def clear(net, nodes):
    """A network of so many nodes and no arc."""
    net.size[_NODES], net.size[_ARCS] = nodes, 0
    net.first[:nodes] = -1


@part
def join(net, start, end, room):
    """An arc; returns its number."""
    arc = net.size[_ARCS]
    net.size[_ARCS] += 2
    net.to[arc], net.room[arc], net.after[arc] = end, room, net.first[start]
    net.first[start] = arc
    net.to[arc + 1], net.room[arc + 1], net.after[arc + 1] = start, 0, net.first[end]
    net.first[end] = arc + 1
    return arc


@part
def reach(net):
    """Fill `level` with how far from the source each node is by arcs that have room, -1 for not at all."""
    net.level[: net.size[_NODES]] = -1
    net.level[SOURCE] = 0
    net.path[0] = SOURCE
    begin, end = 0, 1
    while begin < end:
        node = net.path[begin]
        begin += 1
        arc = net.first[node]
        while arc >= 0:
            if net.room[arc] > 0 and net.level[net.to[arc]] < 0:
                net.level[net.to[arc]] = net.level[node] + 1
                net.path[end] = net.to[arc]
                end += 1
            arc = net.after[arc]
    return net.level[SINK] >= 0


@part
def push(net, limit):
    """Fill one path of the levels, of arcs that are not exhausted yet; how much went through, 0 when there is none."""
    depth, node = 0, SOURCE
    while node != SINK:
        arc = net.turn[node]
        while arc >= 0 and not (net.room[arc] > 0 and net.level[net.to[arc]] == net.level[node] + 1):
            arc = net.after[arc]
        net.turn[node] = arc
        if arc >= 0:
            net.path[depth] = arc
            depth += 1
            node = net.to[arc]
        elif depth == 0:
            return 0
        else:
            net.level[node] = -1
            depth -= 1
            node = net.to[net.path[depth] ^ 1]
    most = limit
    for i in range(depth):
        most = min(most, net.room[net.path[i]])
    for i in range(depth):
        net.room[net.path[i]] -= most
        net.room[net.path[i] ^ 1] += most
    return most


@part
def fill(net, limit):
    """Send as much as can flow, `limit` at most; how much it is. `level` is then 0 or more where the source reaches."""
    total = 0
    while total < limit and reach(net):
        for node in range(net.size[_NODES]):
            net.turn[node] = net.first[node]
        while total < limit:
            more = push(net, limit - total)
            if more == 0:
                break
            total += more
    return total
