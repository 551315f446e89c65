"""Who may come in: every call is looked at before its message is decoded. One place for all methods.

A call brings `authorization: Bearer <id>.<secret>`, or the certificate of a client stands for a token. Where no server
asks who calls, none of this is in the way of a call: the methods are wrapped without it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from invengine.errors import (
    ChannelNotAllowed,
    InventoryError,
    MalformedMessage,
    RateLimited,
    RoleMissing,
    Unauthenticated,
)
from invengine.rpc.audit import Audit
from invengine.rpc.permissions import Permission, Speaks
from invengine.store.acting import BY

if TYPE_CHECKING:
    from google.protobuf.descriptor import MethodDescriptor

    from invengine.services.tokens import Caller, Tokens

Context = grpc.aio.ServicerContext[Any, Any]
RawUnary = Callable[[bytes, Context], Awaitable[bytes]]

logger = logging.getLogger(__name__)

HEADER: Final = "authorization"
LOOK_SECONDS: Final = 1.0
"""How often those who are in are looked at: together with the second in which a server learns of a revocation, a stream
ends well within 5."""

_CERTIFICATE_URIS: Final = "peer_uri"


class Admission:
    """Lets callers in by their tokens. `run` as a task: it ends streams whose tokens ended."""

    def __init__(self, tokens: Tokens, audit: Audit, *, by_certificate: bool = False) -> None:
        self._tokens = tokens
        self._audit = audit
        self._by_certificate = by_certificate
        self._inside: set[Visit] = set()

    def gate(self, path: str, method: MethodDescriptor, permission: Permission) -> Gate:
        """The check of one method."""
        return Gate(self, path, method, permission)

    def caller(self, context: Context) -> Caller:
        """Who calls. Unauthenticated, of which nobody is told more."""
        for name, value in context.invocation_metadata() or ():
            if name == HEADER:
                if not isinstance(value, str):
                    raise Unauthenticated
                return self._tokens.caller(value)
        if self._by_certificate:
            uris = context.auth_context().get(_CERTIFICATE_URIS, ())
            return self._tokens.caller_by_certificate([uri.decode("utf-8", "replace") for uri in uris])
        raise Unauthenticated

    async def run(self) -> None:
        """Ends the streams of tokens that were revoked or are over; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for visit in tuple(self._inside):
                if not self._tokens.still(visit.caller):
                    visit.end()

    def entered(self, visit: Visit) -> None:
        """A stream began."""
        self._inside.add(visit)

    def left(self, visit: Visit) -> None:
        """A stream ended, with so many messages taken."""
        self._inside.discard(visit)

    @property
    def audit(self) -> Audit:
        """What is written down of writes."""
        return self._audit


class Gate:
    """The check of one method."""

    def __init__(self, admission: Admission, path: str, method: MethodDescriptor, permission: Permission) -> None:
        self.path = path
        self.permission = permission
        self._admission = admission
        self._role = permission.role
        self.is_stepwise = method.client_streaming and method.server_streaming
        """Whether each message of a stream is written by itself, however the stream ends."""
        self._decode: Callable[[bytes], Message] = GetMessageClass(method.input_type).FromString
        self._channels = [
            (tuple(place.split(".")), speaks) for place, speaks in permission.channels if speaks is not Speaks.FREELY
        ]
        self._is_plain = [place for place, _ in self._channels] == [("channel",)] and not permission.is_signed

    def enter(self, context: Context) -> Caller:
        """Who calls, if that one may. Unauthenticated, RoleMissing."""
        caller = self._admission.caller(context)
        if self._role not in caller.granted:
            raise RoleMissing(caller.name, self.path, self._role)
        BY.set(caller.name)  # of the context of this call alone
        return caller

    def unary(self, handler: RawUnary) -> RawUnary:
        """The handler behind the check."""
        enter, signs, bound, writes = (
            self.enter,
            self.permission.is_signed,
            bool(self._channels),
            self.permission.writes,
        )

        async def admitted(request: bytes, context: Context) -> bytes:
            caller = enter(context)
            if caller.bucket is not None and (seconds := caller.bucket.take(monotonic())):
                raise RateLimited(caller.name, max(1, round(seconds * 1000)))
            if signs or (bound and caller.channel):
                request = self.settled(caller, request)
            response = await handler(request, context)
            if writes:
                self.note(caller, request)
            return response

        return admitted

    def visit(self, context: Context) -> Visit:
        """A stream of one caller, if that one may open it. Unauthenticated, RoleMissing."""
        return Visit(self._admission, self, self.enter(context))

    def settled(self, caller: Caller, request: bytes) -> bytes:
        """The request, as it is for this caller: with the token's own channel where it names none, and signed.

        What is given on is what was looked at, written anew: another reader of the same bytes cannot see another
        channel in them. MalformedMessage, ChannelNotAllowed.
        """
        message: Any = self._decoded(request)
        if self._is_plain and message.channel == caller.channel:  # nearly always
            return bytes(message.SerializeToString())
        if caller.channel:
            for place, speaks in self._channels:
                for holder in _holders(message, place[:-1]):
                    self._settle(caller, holder, place[-1], speaks)
        if self.permission.is_signed:
            message.actor = caller.name
        return bytes(message.SerializeToString())

    @property
    def is_bound(self) -> bool:
        """Whether requests name channels that a token may be bound to."""
        return bool(self._channels)

    def note(self, caller: Caller, request: bytes, messages: int = 1, code: str = "OK") -> None:
        """Writes an accepted write down; of a stream `request` is its first message."""
        message: Any = self._decoded(request)
        if not getattr(message, "validate_only", False):
            self._admission.audit.written(caller, self.path, message, messages=messages, code=code)

    def _decoded(self, request: bytes) -> Message:
        try:
            return self._decode(request)
        except DecodeError:
            raise MalformedMessage(self.path) from None

    @staticmethod
    def _settle(caller: Caller, holder: Any, field: str, speaks: Speaks) -> None:
        named = getattr(holder, field)
        if named == caller.channel:
            return
        if named:
            raise ChannelNotAllowed(caller.name, named[:64])
        if speaks is Speaks.AS:
            setattr(holder, field, caller.channel)


class Visit:
    """A stream that a caller was let in to."""

    def __init__(self, admission: Admission, gate: Gate, caller: Caller) -> None:
        self.caller = caller
        self.refusal: InventoryError | None = None
        """Why it was ended; None: it was not."""
        self._admission = admission
        self._gate = gate
        self._task: asyncio.Task[Any] | None = None
        self._messages = 0
        self._first = b""
        self._settles = gate.is_bound and bool(caller.channel)

    def __enter__(self) -> Visit:
        self._task = asyncio.current_task()
        self._admission.entered(self)
        return self

    def __exit__(self, _: object, fault: BaseException | None, __: object) -> None:
        self._admission.left(self)
        if self._messages and self._gate.permission.writes and (fault is None or self._gate.is_stepwise):
            code = "OK" if fault is None else getattr(fault, "reason", "") or "CANCELLED"
            self._gate.note(self.caller, self._first, self._messages, code)

    def end(self) -> None:
        """Ends the stream: its token counts no more."""
        if self.refusal is None and self._task is not None:
            self.refusal = Unauthenticated()
            self._task.cancel()

    async def take(self, request: bytes) -> bytes:
        """A message of the stream as it is for this caller; what comes faster than the caller may call waits."""
        if self.caller.bucket is not None and (seconds := self.caller.bucket.wait(monotonic())):
            await asyncio.sleep(seconds)
        if not self._messages:
            self._first = request
        self._messages += 1
        return self._gate.settled(self.caller, request) if self._settles else request


def _holders(message: Any, path: Iterable[str]) -> list[Any]:
    """The messages that are at a place of a message: none where one on the way is not set."""
    found = [message]
    for name in path:
        inner = []
        for holder in found:
            if holder.DESCRIPTOR.fields_by_name[name].is_repeated:
                inner += getattr(holder, name)
            elif holder.HasField(name):
                inner.append(getattr(holder, name))
        found = inner
    return found
