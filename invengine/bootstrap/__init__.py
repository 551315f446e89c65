"""Wires the engine and runs it: the only module that opens connections. Importing it opens none.

Start:  listen (health: NOT_SERVING) -> Redis -> store -> network -> replica -> serve (health: SERVING)
        one of several workers listens last, so that no connection waits for one that is loading
Stop:   NOT_SERVING -> streams end -> accepted calls are answered -> queues, sweeper, follower -> Redis
"""

from invengine.bootstrap.serving import running, serve
from invengine.bootstrap.starting import Running
from invengine.bootstrap.worker import work
from invengine.workers.link import Broken

__all__ = ["Broken", "Running", "running", "serve", "work"]
