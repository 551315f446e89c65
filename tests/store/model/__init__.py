"""The whole store in plain Python: the executable specification of the Redis Functions.

Slow, obvious and complete: the rules of invengine/store/lua/README.md read aloud, not the functions rewritten. One
method per verb, batches in, outcomes out; `now_ms` is moved by the test.
"""

from __future__ import annotations

from tests.store.model.amendments import Amendments
from tests.store.model.incoming import Incoming
from tests.store.model.returns import Returns
from tests.store.model.state import LIVE
from tests.store.model.transfers import Transfers

__all__ = ["LIVE", "Model"]


class Model(Returns, Amendments, Transfers, Incoming):
    """State and rules of a store."""
