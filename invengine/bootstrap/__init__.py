"""Wires the engine and runs it: the only module that opens connections. Importing it opens none.

Start:  listen (health: NOT_SERVING) -> Redis -> store -> network -> replica -> serve (health: SERVING)
Stop:   NOT_SERVING -> streams end -> accepted calls are answered -> queues, sweeper, follower -> Redis
"""

from invengine.bootstrap.serving import Broken, running, serve
from invengine.bootstrap.starting import Running

__all__ = ["Broken", "Running", "running", "serve"]
