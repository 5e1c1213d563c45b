"""Who calls: an API key, or a person whose access token is renewed before it ends.

A refresh token is good for one use; a second one, beyond a moment of grace, ends the session: so one renewal runs at a time, it
is never repeated, and where its answer was lost the person is logged in again.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final, Protocol

import grpc

from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue_sdk.errors import error_of

# So long before its end a token is renewed, or at half its life where that is shorter.
EARLY_S: Final = 60.0
CALL_S: Final = 15.0
Metadata = tuple[tuple[str, str], ...]


class Credential(Protocol):
    """What calls are made with."""

    async def metadata(self, channel: grpc.aio.Channel) -> Metadata:
        """The headers of a call. Raises VenueError."""

    async def renew(self, channel: grpc.aio.Channel, refused: Metadata) -> bool:
        """After the server did not take `refused`: True where there are others now. Raises VenueError."""

    def signed(self, path: str, body: bytes) -> Metadata:
        """Further headers of one call: of this method (/package.Service/Method), with this message (empty: it streams)."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`<api_key_id>.<secret>`, as CreateApiKey showed it once."""

    key: str = field(repr=False)

    async def metadata(self, channel: grpc.aio.Channel) -> Metadata:  # noqa: ARG002  as the protocol has it
        return (("x-api-key", self.key),)

    async def renew(self, channel: grpc.aio.Channel, refused: Metadata) -> bool:  # noqa: ARG002
        return False

    def signed(self, path: str, body: bytes) -> Metadata:  # noqa: ARG002
        return ()


class Password:
    """Logs in with e-mail and password; `totp_code` counts for the first log-in."""

    def __init__(self, email: str, password: str, totp_code: str = "") -> None:
        self.email = email
        self._password = password
        self._totp_code = totp_code
        self._access = ""
        self._refresh = ""
        self._renew_at = 0.0
        self._one = asyncio.Lock()

    async def metadata(self, channel: grpc.aio.Channel) -> Metadata:
        if time.monotonic() >= self._renew_at:
            async with self._one:
                # Another call may have renewed it while this one waited.
                if time.monotonic() >= self._renew_at:
                    await self._grant(channel)
        return (("authorization", f"Bearer {self._access}"),)

    async def renew(self, channel: grpc.aio.Channel, refused: Metadata) -> bool:
        async with self._one:
            if refused == (("authorization", f"Bearer {self._access}"),):
                await self._grant(channel)
        return True

    def signed(self, path: str, body: bytes) -> Metadata:  # noqa: ARG002  as the protocol has it
        return ()

    async def _grant(self, channel: grpc.aio.Channel) -> None:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        begun = time.monotonic()
        granted: auth_pb2.RefreshResponse | auth_pb2.LoginResponse | None = None
        if self._refresh:
            token, self._refresh = self._refresh, ""
            try:
                granted = await stub.Refresh(auth_pb2.RefreshRequest(refresh_token=token), timeout=CALL_S)
            except grpc.aio.AioRpcError:
                granted = None
        if granted is None:
            request = auth_pb2.LoginRequest(email=self.email, password=self._password, totp_code=self._totp_code)
            try:
                granted = await stub.Login(request, timeout=CALL_S)
            except grpc.aio.AioRpcError as error:
                raise error_of(error) from error
        self._access, self._refresh = granted.access_token, granted.refresh_token
        self._renew_at = begun + granted.expires_in - min(EARLY_S, granted.expires_in / 2)
