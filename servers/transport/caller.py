"""What the venue's own clients on the command line share: a channel, a log-in, and a failed call in a line."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2

from servers.transport.errors import DETAILS
from servers.transport.papers import Papers, Trust, open_channel
from venue.auth.v1 import auth_pb2, auth_pb2_grpc

LOGIN_S: Final = 30.0
REACHED_S: Final = 10.0
OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
)
Metadata = tuple[tuple[str, str], ...]


class CallerError(Exception):
    """What went wrong, in a line (more where fields of a request are to blame)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who calls."""

    email: str
    password: str = field(repr=False)


def channel_to(target: str, known: Papers | Trust | None = None) -> grpc.aio.Channel:
    """A channel that is back quickly when the other end is; plain unless it is known by what."""
    return open_channel(target, OPTIONS, known)


def credentials_of(logins: Path, email: str, password: str) -> Credentials:
    """Those given, or what the file of seeded logins has for the address. Raises CallerError."""
    if password:
        return Credentials(email, password)
    try:
        found = json.loads(logins.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CallerError(
            f"no logins at {logins}: start the venue with `venue up`, or give --user and --password"
        ) from None
    if email not in found:
        raise CallerError(f"no password is known for {email}: give --password")
    return Credentials(email, found[email])


class Login:
    """A user's access token, renewed by logging in again."""

    def __init__(self, channel: grpc.aio.Channel, credentials: Credentials) -> None:
        self._auth = auth_pb2_grpc.AuthServiceStub(channel)
        self._credentials = credentials
        self.user_id = ""
        self.metadata: Metadata = ()

    async def renew(self) -> None:
        """Raises AioRpcError."""
        request = auth_pb2.LoginRequest(email=self._credentials.email, password=self._credentials.password)
        granted = await self._auth.Login(request, timeout=LOGIN_S, wait_for_ready=False)
        self.user_id = granted.user.user_id
        self.metadata = (("authorization", f"Bearer {granted.access_token}"),)


def status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    """The status with its details; None where the venue itself did not answer."""
    for name, value in error.trailing_metadata() or ():
        if name == DETAILS:
            return status_pb2.Status.FromString(value if isinstance(value, bytes) else value.encode())
    return None


def reason_of(status: status_pb2.Status) -> str:
    """The reason, or the code's name where there is none."""
    info = error_details_pb2.ErrorInfo()
    for packed in status.details:
        if packed.Unpack(info):
            return str(info.reason)
    return next(code.name for code in grpc.StatusCode if code.value[0] == status.code)


def violations_of(status: status_pb2.Status) -> Sequence[tuple[str, str]]:
    """(field, description) of what is wrong with a request."""
    bad = error_details_pb2.BadRequest()
    for packed in status.details:
        if packed.Unpack(bad):
            return [(each.field, each.description) for each in bad.field_violations]
    return []


def away(target: str) -> str:
    """That nobody listens there."""
    return f"the venue does not answer at {target}: start it with `venue up`"


async def reached(channel: grpc.aio.Channel, target: str) -> None:
    """Wait until somebody listens at the other end. Raises CallerError where nobody does for REACHED_S."""
    try:
        async with asyncio.timeout(REACHED_S):
            await channel.channel_ready()
    except TimeoutError:
        raise CallerError(away(target)) from None


def explain(error: grpc.aio.AioRpcError, target: str) -> str:
    """A failed call for people: what was said, the reason, and each field that is to blame on a line of its own."""
    status = status_of(error)
    if status is None:
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            return away(target)
        return f"{error.details() or 'no answer'} ({error.code().name}, from {target})"
    violations = violations_of(status)
    what = "the request is not valid" if violations else status.message
    return "\n".join(
        [f"{what} ({reason_of(status)})", *(f"  {name}: {description}" for name, description in violations)]
    )
