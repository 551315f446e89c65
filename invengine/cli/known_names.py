"""Names that a running server knows: for completion in a shell, and to say what was perhaps meant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from invengine.client import Client

IN_NETWORK: Final = ("channels", "groups", "locations", "services", "zones")
"""What the network document names, by its keys there."""

_DOCUMENT_BYTES_MAX: Final = 1_000_000  # a longer one takes seconds to read
_SKUS_MAX: Final = 2_000


async def of_network(client: Client, kind: str) -> list[str]:
    """The names of one kind of IN_NETWORK, in the order of the document; none where it is too long to read quickly."""
    document = (await client.get_network()).document
    return _listed(document, kind) if len(document) <= _DOCUMENT_BYTES_MAX else []


async def of_profiles(client: Client) -> list[str]:
    """The names of sourcing profiles."""
    answer = await client.list_profiles(name="")
    return list(dict.fromkeys(profile.name for profile in answer.profiles))


async def of_skus(client: Client, prefixes: Iterable[str]) -> list[str]:
    """SKUs with a position that begin with one of these, of each the first ones."""
    found: dict[str, None] = {}
    for prefix in dict.fromkeys(prefixes):
        page = await client.list_positions(sku_prefix=prefix, page_size=_SKUS_MAX)
        found |= dict.fromkeys(position.sku for position in page.positions)
    return list(found)


def _listed(document: str, kind: str) -> list[str]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    content: Any = yaml.load(document, loader)  # noqa: S506  # one of the two safe loaders
    section = content.get(kind) if isinstance(content, Mapping) else None
    return [str(name) for name in section] if isinstance(section, Mapping) else []
