"""Every key of the store by name; `lua/README.md` says what each holds."""

from __future__ import annotations

from typing import Final

STORE: Final = b"invengine:store"
NETWORK: Final = b"invengine:network"
NETWORK_CHANNEL: Final = b"invengine:network"
"""Pub/sub channel on which the revision of a newly applied network is announced."""
TRANSIT: Final = b"invengine:transit"
"""Also the channel on which the revision of newly applied transit times is announced."""
PROFILES: Final = b"invengine:profiles"
"""Also the channel on which the revision of a change is announced: a new version of a profile, or an activation."""
PROFILE_VERSIONS: Final = b"{invengine:profiles}:versions"

TOKENS: Final = b"invengine:tokens"
"""Also the channel on which the revision of a change is announced: a token made or revoked."""

STOCK_PATTERN: Final = b"{p*}:stock:*"
INCOMING_PATTERN: Final = b"{p*}:incoming:*"
UNSELLABLE_PATTERN: Final = b"{p*}:unsellable:*"


def barrier(key: str | bytes) -> str:
    """Of the slot of a key: written before a WAIT, so that the WAIT covers all that was written before."""
    return f"{{{_tag(key)}}}:barrier"


def barrier_source(key: str | bytes) -> str | bytes:
    """What is copied to the barrier of a key: something small that is there when anything of its slot is."""
    tag = _tag(key)
    return f"{{{tag}}}:revision" if tag.startswith("p") else key


def never(key: str | bytes) -> str:
    """A key of the slot of a key that never exists: see `Cluster.declared`."""
    return f"{{{_tag(key)}}}:never"


def log(partition: int) -> str:
    """The change log; also the key that a call declares for a partition."""
    return f"{{p{partition}}}:log"


def revision(partition: int) -> str:
    """The newest revision of a partition."""
    return f"{{p{partition}}}:revision"


def stock(partition: int, sku: str) -> str:
    """The positions of a SKU."""
    return f"{{p{partition}}}:stock:{sku}"


def sku_of_stock(key: bytes) -> str:
    """The SKU whose positions this key holds."""
    return key.split(b":stock:", 1)[1].decode()


def incoming(partition: int, sku: str) -> str:
    """The receipts and backorders of a SKU."""
    return f"{{p{partition}}}:incoming:{sku}"


def sku_of_incoming(key: bytes) -> str:
    """The SKU whose receipts this key holds."""
    return key.split(b":incoming:", 1)[1].decode()


def unsellable(partition: int, sku: str) -> str:
    """Units of a SKU that are there and not sellable, by location and state."""
    return f"{{p{partition}}}:unsellable:{sku}"


def sku_of_unsellable(key: bytes) -> str:
    """The SKU whose states this key holds."""
    return key.split(b":unsellable:", 1)[1].decode()


def waiting(partition: int) -> str:
    """Units backordered, by SKU."""
    return f"{{p{partition}}}:waiting"


def broken(partition: int) -> str:
    """Promises that cannot be kept, by leg."""
    return f"{{p{partition}}}:broken"


def pegs(partition: int, sku: str, location: str, receipt_id: str) -> str:
    """Who waits for units of a receipt, or without one for any, in the order of their turn."""
    return f"{{p{partition}}}:pegs:{sku}\t{location}\t{receipt_id}"


def feeds(partition: int) -> str:
    """How far feeds of movements are acknowledged, by name."""
    return f"{{p{partition}}}:feeds"


def reservations(partition: int) -> str:
    """Records of live reservations."""
    return f"{{p{partition}}}:reservations"


def closed(partition: int, period: int) -> str:
    """Records of reservations closed in a period."""
    return f"{{p{partition}}}:closed:{period}"


def requests(partition: int, period: int) -> str:
    """Answers to requests of a period, by channel and request_id."""
    return f"{{p{partition}}}:requests:{period}"


def states(partition: int) -> str:
    """Counters of reservation states; only the sums over all partitions mean something."""
    return f"{{p{partition}}}:states"


def references(partition: int, kind: str, reference: str) -> str:
    """Ids of the reservations with a reference; `kind` is customer, order or cart."""
    return f"{{p{partition}}}:{kind}:{reference}"


def transfers(partition: int) -> str:
    """Ids of the transfers of this home partition, until they are forgotten."""
    return f"{{p{partition}}}:transfers"


def heads(partition: int) -> str:
    """Heads of live reservations that are kept in pieces."""
    return f"{{p{partition}}}:heads"


def closed_heads(partition: int, period: int) -> str:
    """Heads of reservations closed in a period."""
    return f"{{p{partition}}}:closed_heads:{period}"


def operations(partition: int) -> str:
    """Changes under way of the reservations whose heads are here."""
    return f"{{p{partition}}}:operations"


def returns(partition: int) -> str:
    """Returns of which something waits for a decision."""
    return f"{{p{partition}}}:returns"


def closed_returns(partition: int, period: int) -> str:
    """Returns closed in a period."""
    return f"{{p{partition}}}:closed_returns:{period}"


def return_steps(partition: int) -> str:
    """Steps of returns that are under way."""
    return f"{{p{partition}}}:return_steps"


def returns_with(partition: int, kind: str, reference: str) -> str:
    """Ids of the returns `of` a reservation or `for` an order."""
    return f"{{p{partition}}}:returns_{kind}:{reference}"


def profile_activations(channel: str) -> str:
    """The newest activations of a channel."""
    return f"{{{PROFILES.decode()}}}:activations:{channel}"


def wave_plan(partition: int, plan_id: str) -> str:
    """A plan of a wave: its summary and its orders, in chunks."""
    return f"{{p{partition}}}:wave:{plan_id}"


def wave_commit(partition: int, plan_id: str) -> str:
    """How far the commit of a plan is."""
    return f"{{p{partition}}}:wave_commit:{plan_id}"


def _tag(key: str | bytes) -> str:
    """What Redis Cluster hashes of a key: its tag, else all of it."""
    name = key if isinstance(key, str) else key.decode()
    return name[1 : name.index("}")] if name.startswith("{") else name
