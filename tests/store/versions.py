"""Libraries of releases that there are not: newer and older ones, generated from the one of this release."""

from __future__ import annotations

import re

from invengine.store.library import Library

_LOGS = b"    call('XADD', tag .. 'log', revision_text .. '-0', 'at', now_text, 'rows', rows)\n"
_LOGS_MORE = b"    rows = rows .. 'Q\\tof a newer release\\t\\n'\n" + _LOGS
_MORE = b"\nredis.register_function('invengine_newer', function() return 'NEWER' end)\n"


def numbered(version: int, library: Library | None = None) -> Library:
    """The library under another number, which it answers too."""
    code = (library or Library.packaged()).code
    code, in_text = re.subn(rb"(?m)^-- Version \d+\.", b"-- Version %d." % version, code, count=1)
    code, in_answer = re.subn(rb"(function\(\) return )\d+( end)", rb"\g<1>%d\2" % version, code)
    assert (in_text, in_answer) == (1, 1)
    return Library(code)


def newer(by: int = 1) -> Library:
    """The library of a release to come, with all that it may bring: a function of its own, rows of a new kind."""
    library = numbered(Library.packaged().version + by)
    assert library.code.count(_LOGS) == 1
    return Library(library.code.replace(_LOGS, _LOGS_MORE) + _MORE)


def without(library: Library, function: str) -> Library:
    """The library after a function was taken out of it."""
    code = library.code.replace(f"'{function}'".encode(), b"'invengine_renamed'")
    assert code != library.code
    return Library(code)
