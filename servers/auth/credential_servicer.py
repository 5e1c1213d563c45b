"""The RPCs of AuthService about what a user proves himself with beside the password: second factor, API keys, sign-on."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db.models.users import UserRow
from servers.auth.attempts import Attempts
from servers.auth.outbox import Outbox
from servers.auth.passwords import Passwords
from servers.auth.second_factor import SecondFactor
from servers.auth.step_up import step_up
from servers.auth.tokens import AccessTokens, role_of
from servers.transport.call import Call
from venue.auth.v1 import auth_pb2 as pb

BEARER = "Bearer"


class CredentialServicer:
    def __init__(
        self,
        engine: AsyncEngine,
        passwords: Passwords,
        outbox: Outbox,
        access_tokens: AccessTokens,
        factor: SecondFactor,
        attempts: Attempts,
    ) -> None:
        self._engine = engine
        self._passwords = passwords
        self._outbox = outbox
        self._access_tokens = access_tokens
        self._factor = factor
        self._attempts = attempts

    async def EnrollTotp(self, request: pb.EnrollTotpRequest, call: Call) -> pb.EnrollTotpResponse:
        begun = await self._factor.enroll(call.identity)
        return pb.EnrollTotpResponse(secret=begun.secret, otpauth_uri=begun.uri, recovery_codes=begun.recovery_codes)

    async def ConfirmTotp(self, request: pb.ConfirmTotpRequest, call: Call) -> pb.ConfirmTotpResponse:
        await self._factor.confirm(call.identity, request.code)
        return pb.ConfirmTotpResponse()

    async def DisableTotp(self, request: pb.DisableTotpRequest, call: Call) -> pb.DisableTotpResponse:
        await self._factor.disable(call.identity)
        return pb.DisableTotpResponse()

    async def StepUp(self, request: pb.StepUpRequest, call: Call) -> pb.StepUpResponse:
        grant = await step_up(
            self._engine,
            self._passwords,
            self._attempts,
            self._factor,
            self._access_tokens,
            identity=call.identity,
            password=request.password,
            totp_code=request.totp_code,
        )
        return pb.StepUpResponse(access_token=grant.access_token, token_type=BEARER, expires_in=grant.expires_in)


def to_user(row: UserRow) -> pb.User:
    user = pb.User(
        user_id=row.user_id,
        email=row.email,
        display_name=row.display_name,
        role=role_of(row),
        email_verified=row.email_verified,
    )
    user.create_time.FromDatetime(row.create_time)
    return user
