"""AuthService on the wire: messages in, messages out."""

from dataclasses import dataclass
from typing import cast

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from db.models.users import UserRow
from servers.auth.attempts import Attempts
from servers.auth.keys import SigningKeys
from servers.auth.login import log_in
from servers.auth.logout import log_out
from servers.auth.mail import Mailbox
from servers.auth.passwords import Passwords
from servers.auth.refresh import GRACE_S, refresh
from servers.auth.register import MESSAGE, register
from servers.auth.tokens import AccessTokens, RefreshTokens, role_of
from servers.auth.verify_email import verify_email
from servers.auth.who_am_i import who_am_i
from servers.transport.call import Call
from venue.auth.v1 import auth_pb2
from venue.option.v1 import access_pb2

BEARER = "Bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRules:
    """What a deployment decides. `public_url` is where users reach the gateway."""

    public_url: str
    access_life_s: int = 900
    session_life_s: float = 30 * 86_400.0
    grace_s: float = GRACE_S
    login_requires_verified: bool = False


class AuthServicer:
    def __init__(
        self,
        *,
        engine: AsyncEngine,
        passwords: Passwords,
        keys: SigningKeys,
        refresh_tokens: RefreshTokens,
        mailbox: Mailbox,
        rules: AuthRules,
    ) -> None:
        self._engine = engine
        self._passwords = passwords
        self._keys = keys
        self._refresh_tokens = refresh_tokens
        self._mailbox = mailbox
        self._rules = rules
        self._attempts = Attempts()
        self._access_tokens = AccessTokens(keys, life_s=rules.access_life_s)

    async def Register(self, request: auth_pb2.RegisterRequest, call: Call) -> auth_pb2.RegisterResponse:
        del call
        await register(
            self._engine,
            self._passwords,
            self._mailbox,
            email=request.email,
            password=request.password,
            display_name=request.display_name,
            public_url=self._rules.public_url,
        )
        return auth_pb2.RegisterResponse(message=MESSAGE)

    async def VerifyEmail(self, request: auth_pb2.VerifyEmailRequest, call: Call) -> auth_pb2.VerifyEmailResponse:
        del call
        await verify_email(self._engine, request.token)
        return auth_pb2.VerifyEmailResponse()

    async def Login(self, request: auth_pb2.LoginRequest, call: Call) -> auth_pb2.LoginResponse:
        grant = await log_in(
            self._engine,
            self._passwords,
            self._attempts,
            self._access_tokens,
            email=request.email,
            password=request.password,
            address=call.peer,
            requires_verified=self._rules.login_requires_verified,
            session_life_s=self._rules.session_life_s,
        )
        return auth_pb2.LoginResponse(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            token_type=BEARER,
            expires_in=grant.expires_in,
            user=to_user(grant.user),
        )

    async def Refresh(self, request: auth_pb2.RefreshRequest, call: Call) -> auth_pb2.RefreshResponse:
        del call
        grant = await refresh(
            self._engine,
            self._access_tokens,
            self._refresh_tokens,
            token=request.refresh_token,
            grace_s=self._rules.grace_s,
        )
        return auth_pb2.RefreshResponse(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            token_type=BEARER,
            expires_in=grant.expires_in,
        )

    async def Logout(self, request: auth_pb2.LogoutRequest, call: Call) -> auth_pb2.LogoutResponse:
        del request
        await log_out(self._engine, call.identity.session_id)
        return auth_pb2.LogoutResponse()

    async def WhoAmI(self, request: auth_pb2.WhoAmIRequest, call: Call) -> auth_pb2.WhoAmIResponse:
        del request
        identity = call.identity
        return auth_pb2.WhoAmIResponse(
            user=to_user(await who_am_i(self._engine, identity.user_id)),
            scopes=cast("list[access_pb2.Scope.ValueType]", sorted(identity.scopes)),
            session_id=identity.session_id,
            expire_time=Timestamp(seconds=int(identity.expires)),
        )

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, call: Call) -> auth_pb2.GetJwksResponse:
        del request, call
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.Jwk(**key) for key in self._keys.jwks()])


def to_user(row: UserRow) -> auth_pb2.User:
    user = auth_pb2.User(
        user_id=row.user_id,
        email=row.email,
        display_name=row.display_name,
        role=role_of(row),
        email_verified=row.email_verified,
    )
    user.create_time.FromDatetime(row.create_time)
    return user
