"""Numbers sorted by keys, in place and always the same way."""

from __future__ import annotations

from invengine.kernels.steps import part


@part
def sift(keys, items, start, end):
    """Let the item at `start` sink in a heap whose greatest key stands first."""
    root = start
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and (
            keys[items[child]] < keys[items[child + 1]]
            or (keys[items[child]] == keys[items[child + 1]] and items[child] < items[child + 1])
        ):
            child += 1
        if keys[items[root]] > keys[items[child]] or (
            keys[items[root]] == keys[items[child]] and items[root] > items[child]
        ):
            return
        items[root], items[child] = items[child], items[root]
        root = child


@part
def sort(keys, items, count):
    """Sort the first `count` of `items` by their keys, least first; of equal ones the lesser number first."""
    for start in range(count // 2 - 1, -1, -1):
        sift(keys, items, start, count)
    for end in range(count - 1, 0, -1):
        items[0], items[end] = items[end], items[0]
        sift(keys, items, 0, end)
