"""Fair shares of one SKU: first over channels, then over the lines of each channel; class after class.

What each had of the steps before stays certain, though perhaps from another location: it is the base of what comes
after. So nobody of a later class or step can take a unit from somebody of an earlier one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from invengine.kernels.allocation_divide import ENDLESS, add_arc, add_element, add_member, build, divide, new_shares
from invengine.kernels.allocation_flow import SINK, fill
from invengine.kernels.steps import part

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"
_CUBE = "int64[:, :, ::1]"
CLAIM_UNITS = 0
CLAIM_TYPE = 1
CLAIM_CLASS = 2
CLAIM_CHANNEL = 3
CLAIM_COLUMNS = 4


@part
def begin(shares):
    """No element yet."""
    shares.size[:] = 0


@part
def add_all_types(shares, element, wants):
    """An element has what lines of each type want."""
    for kind in range(len(wants)):
        if wants[kind] > 0:
            add_arc(shares, element, kind, wants[kind])


@part
def add_fixed(shares, fixed):
    """What lines have already, by type."""
    for kind in range(len(fixed)):
        if fixed[kind] > 0:
            add_arc(shares, add_element(shares, fixed[kind]), kind, fixed[kind])


@part
def add_kept(shares, wants, least, after):
    """What is kept for channels in later classes."""
    for channel in range(wants.shape[0]):
        for klass in range(after + 1, wants.shape[1]):
            if least[channel, klass] > 0:
                add_all_types(shares, add_element(shares, least[channel, klass]), wants[channel, klass])


@part
def keep_shares(shares, wants, minimum, kept):
    """Fill kept [C] with the units of each channel's minimum that it wants and can have: those, too, are divided."""
    begin(shares)
    for channel in range(wants.shape[0]):
        total = 0
        element = add_element(shares, 0)
        for klass in range(wants.shape[1]):
            add_all_types(shares, element, wants[channel, klass])
            for kind in range(wants.shape[2]):
                total += wants[channel, klass, kind]
        add_member(shares, element, min(minimum[channel], total))
    divide(shares)
    for channel in range(wants.shape[0]):
        kept[channel] = shares.given[channel]


@part
def spread_shares(shares, wants, kept, least):
    """Fill least [C, P] with the units kept of each channel's minimum by class: earlier ones have them first."""
    n_channels, n_classes = wants.shape[0], wants.shape[1]
    least[:] = 0
    for channel in range(n_channels):
        left = kept[channel]
        for klass in range(n_classes):
            if left == 0:
                break
            total = 0
            for kind in range(wants.shape[2]):
                total += wants[channel, klass, kind]
            begin(shares)
            for other in range(n_channels):
                if other > channel and kept[other] > 0:
                    element = add_element(shares, kept[other])
                    for each in range(n_classes):
                        add_all_types(shares, element, wants[other, each])
                for each in range(n_classes):
                    if other <= channel and least[other, each] > 0:
                        add_all_types(shares, add_element(shares, least[other, each]), wants[other, each])
            element = add_element(shares, 0)
            add_all_types(shares, element, wants[channel, klass])
            member = add_member(shares, element, min(left, total))
            divide(shares)
            least[channel, klass] = shares.given[member]
            left -= shares.given[member]


@part
def over_channels(shares, wants, fixed, least, klass, given):
    """Fill given [C] with the units of each channel in a class."""
    begin(shares)
    add_fixed(shares, fixed)
    add_kept(shares, wants, least, klass)
    for channel in range(wants.shape[0]):
        total = 0
        for kind in range(wants.shape[2]):
            total += wants[channel, klass, kind]
        element = add_element(shares, least[channel, klass])
        add_all_types(shares, element, wants[channel, klass])
        add_member(shares, element, total - least[channel, klass])
    divide(shares)
    for channel in range(wants.shape[0]):
        given[channel] = least[channel, klass] + shares.given[channel]


@part
def over_lines(shares, claims, wants, fixed, least, klass, channel, given, quotas):
    """Divide the units of a channel in a class among its lines; fills their `quotas`. claims: see `share_sku`."""
    begin(shares)
    add_fixed(shares, fixed)
    add_kept(shares, wants, least, klass)
    for other in range(channel + 1, wants.shape[0]):
        if given[other] > 0:
            add_all_types(shares, add_element(shares, given[other]), wants[other, klass])
    first = shares.size[0]
    for kind in range(wants.shape[2]):
        add_arc(shares, add_element(shares, 0), kind, wants[channel, klass, kind])
    for i in range(len(claims)):
        if claims[i, CLAIM_CLASS] == klass and claims[i, CLAIM_CHANNEL] == channel:
            add_member(shares, first + claims[i, CLAIM_TYPE], claims[i, CLAIM_UNITS])
    divide(shares)
    member = 0
    for i in range(len(claims)):
        if claims[i, CLAIM_CLASS] == klass and claims[i, CLAIM_CHANNEL] == channel:
            quotas[i] = shares.given[member]
            fixed[claims[i, CLAIM_TYPE]] += shares.given[member]
            member += 1


@part
def read_types(shares, flow):
    """Add to flow [T, N] what lines of each type could take from where, all together."""
    build(shares, 0, 1)
    fill(shares.net, ENDLESS)
    for kind in range(flow.shape[0]):
        arc = shares.net.first[2 + flow.shape[1] + kind]
        while arc >= 0:
            n = shares.net.to[arc] - 2
            if n < flow.shape[1]:
                flow[kind, n] += shares.net.room[arc ^ 1]
            arc = shares.net.after[arc]


@part
def _open_location(net, n, units):
    """Let so many units flow from a location that has let none through yet."""
    arc = net.first[2 + n]
    while arc >= 0:
        if net.to[arc] == SINK:
            net.room[arc] = units
        arc = net.after[arc]


@part
def read_elements(shares, n_elements, rank, flow):
    """Add to flow [E, N] what the first elements could take from where, all together.

    As much as can be from the first location of the rank, then from the next: what flows from one is never taken back
    when another is opened, and so it costs least, whatever costs the rank goes by.
    """
    build(shares, 0, 1)
    net, kinds = shares.net, 2 + len(shares.stock)
    for n in range(len(shares.stock)):
        _open_location(net, n, 0)
    for n in rank:
        _open_location(net, n, shares.stock[n])
        fill(net, ENDLESS)
    for e in range(n_elements):
        arc = net.first[kinds + len(shares.may) + e]
        while arc >= 0:
            left = net.room[arc ^ 1] if net.to[arc] >= kinds else 0
            onward = net.first[net.to[arc]] if left > 0 else -1
            while onward >= 0:
                n = net.to[onward] - 2
                if n < flow.shape[1]:
                    more = min(left, net.room[onward ^ 1])
                    net.room[onward ^ 1] -= more
                    flow[e, n] += more
                    left -= more
                onward = net.after[onward]
            arc = net.after[arc]


@njit(
    f"void({_BLOCK}, {_CUBE}, {_BLOCK}, {_ROW}, {_ROW}, {_ROW}, {_ROW}, {_BLOCK})",
    nogil=True,
    cache=True,
)
def share_sku(claims, wants, may, stock, minimum, rank, quotas, flow):
    """Fair shares of one SKU, or what of it is kept for channels.

    m lines of T types (those of one type may use the same locations), C channels, G classes, N locations; int64.
      claims   [m, CLAIM_COLUMNS]  units 0 or more, type, class and channel of each line, earlier ones first
      wants    [C, G, T]  the same in all     may [T, N]  1: that type may use that location
      stock    [N]  units, not more than are claimed in all     minimum [C]  units that are for the channel first
      rank     [0], or [N] locations: then `minimum` is all that is divided, and comes from the first of these first
      quotas   [m]  filled: units of each line; not with a rank
      flow     [T, N]  filled: what lines of each type could take from where; with a rank [C, N], of channels
    """
    n_channels, n_classes, n_types = wants.shape
    elements = 2 * n_types + n_channels * (n_classes + 1) + 1
    arcs = 2 * (n_types + n_channels * n_classes * n_types) + 1
    shares = new_shares(stock, may, elements, arcs, max(len(claims), n_channels) + 1)
    fixed = np.zeros(n_types, np.int64)
    kept, given = np.zeros(n_channels, np.int64), np.zeros(n_channels, np.int64)
    least = np.zeros((n_channels, n_classes), np.int64)
    flow[:] = 0
    keep_shares(shares, wants, minimum, kept)
    if len(rank) > 0:
        read_elements(shares, n_channels, rank, flow)
        return
    spread_shares(shares, wants, kept, least)
    for klass in range(n_classes):
        over_channels(shares, wants, fixed, least, klass, given)
        for channel in range(n_channels):
            if given[channel] > 0:
                over_lines(shares, claims, wants, fixed, least, klass, channel, given, quotas)
    begin(shares)
    add_fixed(shares, fixed)
    read_types(shares, flow)
