"""Formats of sales history that `invengine load` reads. A new one has the shape of `HistoryFormat`; list it here."""

from typing import Final

from invengine.cli.formats.history import EventKind, HistoryEvent, HistoryFault, HistoryFormat
from invengine.cli.formats.online_retail import OnlineRetail

__all__ = ["FORMATS", "EventKind", "HistoryEvent", "HistoryFault", "HistoryFormat"]

FORMATS: Final[dict[str, HistoryFormat]] = {form.name: form for form in (OnlineRetail(),)}
