"""The server's copy of live stock: NumPy columns that follow the change log, and answer without asking Redis."""

from invengine.replica.clock import StoreClock
from invengine.replica.columns import Columns, LogMalformed
from invengine.replica.follower import Follower
from invengine.replica.incoming import Incoming
from invengine.replica.replica import Replica

__all__ = ["Columns", "Follower", "Incoming", "LogMalformed", "Replica", "StoreClock"]
