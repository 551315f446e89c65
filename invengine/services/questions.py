"""Questions about availability: everything of a request but its SKUs, checked, compiled and kept for the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from google.protobuf.message import DecodeError

from invengine.domain.orders import Fulfilment
from invengine.domain.partitions import decode_token
from invengine.errors import InvalidArgument, MalformedMessage, NetworkMissing
from invengine.services.selection import NOTHING_RULED, RuledSkus, Selection, select
from invengine.services.validation import count_of, optional_text, required_id
from invengine.v1 import availability_service_pb2 as pb

if TYPE_CHECKING:
    from invengine.domain.network import Network
    from invengine.replica.replica import Replica

LOCATIONS_MAX: Final = 1000
KEPT_MAX: Final = 4096
"""Questions of a kind that are kept; the oldest gives way, so no caller can fill memory."""

GET, BATCH, STREAM = "GetAvailability", "BatchGetAvailability", "StreamAvailability"
WATCH: Final = "WatchAvailability"
_FULFILMENTS: Final = (Fulfilment.ANY, Fulfilment.SHIP, Fulfilment.PICKUP, Fulfilment.SHIP_TO_STORE)


class Networks(Protocol):
    """Where the network in force is found."""

    @property
    def current(self) -> Network | None:
        """The network in force, None before the first."""


@dataclass(frozen=True, slots=True)
class Question:
    """Everything of a request but its SKUs."""

    selection: Selection
    totals_only: bool = False
    want_handles: bool = False
    handle_epoch: int = 0
    ignore_reservation_id: str = ""
    pairs: Sequence[tuple[int, int]] = ()  # at least as fresh as these
    fully_consistent: bool = False

    @property
    def waits(self) -> bool:
        """Whether the answer needs more than the replica as it stands."""
        return self.fully_consistent or bool(self.pairs) or bool(self.ignore_reservation_id)


class Questions:
    """The questions that callers ask under the network in force."""

    def __init__(self, replica: Replica, networks: Networks) -> None:
        self._replica = replica
        self._networks = networks
        self._network: Network | None = None
        self._ruled = NOTHING_RULED
        self._gets: dict[bytes, Question] = {}
        self._batches: dict[bytes, Question] = {}
        self._streams: dict[tuple[str, str], Selection] = {}

    @property
    def network(self) -> Network | None:
        """The network in force; what was asked under another one has to be asked anew."""
        return self._networks.current

    def kept_get(self, rest: bytes) -> Question | None:
        """As `of_get`, for a question that was asked before; None for others."""
        return self._gets.get(rest) if self._networks.current is self._network else None

    def of_get(self, rest: bytes) -> Question:
        """The question of a GetAvailabilityRequest without its SKU. Refuses as `Availability.get_bytes` says."""
        return self._question(self._gets, rest, self._read_get)

    def of_batch(self, rest: bytes) -> Question:
        """The question of a BatchGetAvailabilityRequest without its SKUs."""
        return self._question(self._batches, rest, self._read_batch)

    def of_stream(self, channel: str, group: str) -> Selection:
        """The question of a StreamAvailabilityRequest."""
        network = self._current()
        selection = self._streams.get((channel, group))
        if selection is None:
            required_id("channel", channel)
            optional_text("group", group)
            selection = select(
                network, self._replica.locations, self._replica.channels, channel, group=group, ruled=self._ruled
            )
            _keep(self._streams, (channel, group), selection)
        return selection

    def _current(self) -> Network:
        """The network in force; what was kept for another is forgotten."""
        network = self._networks.current
        if network is not self._network:
            self._network = network
            self._ruled = RuledSkus(network.threshold_skus()) if network is not None else NOTHING_RULED
            self._gets.clear()
            self._batches.clear()
            self._streams.clear()
        if network is None:
            raise NetworkMissing
        return network

    def _question(
        self, kept: dict[bytes, Question], rest: bytes, read: Callable[[bytes, Network], Question]
    ) -> Question:
        network = self._current()
        question = kept.get(rest)
        if question is None:
            question = read(rest, network)
            if not question.pairs and not question.ignore_reservation_id:  # those hardly come twice
                _keep(kept, rest, question)
        return question

    def _read_get(self, rest: bytes, network: Network) -> Question:
        request = parsed(rest, pb.GetAvailabilityRequest, GET)
        return Question(
            selection=self._selection(request, network),
            ignore_reservation_id=optional_text("ignore_reservation_id", request.ignore_reservation_id),
            pairs=self._pairs(request),
            fully_consistent=request.consistency.fully_consistent,
        )

    def _read_batch(self, rest: bytes, network: Network) -> Question:
        request = parsed(rest, pb.BatchGetAvailabilityRequest, BATCH)
        return Question(
            selection=self._selection(request, network),
            totals_only=request.totals_only,
            want_handles=request.want_handles,
            handle_epoch=request.handle_epoch,
            pairs=self._pairs(request),
            fully_consistent=request.consistency.fully_consistent,
        )

    def _selection(
        self, request: pb.GetAvailabilityRequest | pb.BatchGetAvailabilityRequest, network: Network
    ) -> Selection:
        fulfilment = checked(request)
        return select(
            network,
            self._replica.locations,
            self._replica.channels,
            request.channel,
            locations=tuple(request.locations),
            group=request.group,
            fulfilment=fulfilment,
            ruled=self._ruled,
        )

    def _pairs(self, request: pb.GetAvailabilityRequest | pb.BatchGetAvailabilityRequest) -> list[tuple[int, int]]:
        if request.consistency.WhichOneof("requirement") != "at_least_as_fresh":
            return []
        replica = self._replica
        return decode_token(request.consistency.at_least_as_fresh, replica.store_id, replica.partitions)


def checked(
    request: pb.GetAvailabilityRequest
    | pb.BatchGetAvailabilityRequest
    | pb.WatchAvailabilityRequest
    | pb.GetAvailableToPromiseRequest,
) -> Fulfilment:
    """Checks what narrows a question: channel, locations, group; answers the way to fulfil. InvalidArgument."""
    required_id("channel", request.channel)
    count_of("locations", len(request.locations), LOCATIONS_MAX, least=0)
    for i, location in enumerate(request.locations):
        required_id(f"locations[{i}]", location)
    optional_text("group", request.group)
    if request.group and request.locations:
        raise InvalidArgument("group", "not together with locations")
    if not 0 <= request.fulfilment < len(_FULFILMENTS):
        raise InvalidArgument("fulfilment", f"{request.fulfilment} is not a way to fulfil")
    return _FULFILMENTS[request.fulfilment]


def parsed(message: bytes, kind: type[Any], method: str) -> Any:
    """The message, or MalformedMessage."""
    try:
        return kind.FromString(message)
    except DecodeError:
        raise MalformedMessage(method) from None


def _keep(kept: dict[Any, Any], key: object, value: object) -> None:
    if len(kept) >= KEPT_MAX:
        del kept[next(iter(kept))]
    kept[key] = value
