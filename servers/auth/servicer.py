"""AuthService on the wire: messages in, messages out."""

from dataclasses import dataclass
from math import isfinite
from typing import cast

from sqlalchemy.ext.asyncio import AsyncEngine

from db import factors
from db.guesses import GuessesAway
from db.sealing import Sealer
from servers.auth.attempts import Attempts
from servers.auth.change_password import change_password
from servers.auth.credential_servicer import BEARER, CredentialServicer, Elsewhere, to_user
from servers.auth.desk import Desk
from servers.auth.keys import SigningKeys
from servers.auth.login import Door, Given, log_in
from servers.auth.logout import log_out
from servers.auth.passwords import Passwords
from servers.auth.refresh import GRACE_S, refresh
from servers.auth.register import MESSAGE, register
from servers.auth.reset_password import MESSAGE as RESET_MESSAGE
from servers.auth.reset_password import request_password_reset, reset_password
from servers.auth.second_factor import SecondFactor
from servers.auth.sessions import list_sessions, revoke_session
from servers.auth.tokens import AccessTokens, RefreshTokens
from servers.auth.unlock_login import Alarm, unlock_login
from servers.auth.verify_email import verify_email
from servers.auth.who_am_i import who_am_i
from servers.domain.errors import PartUnavailable
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.paging import PageTokens
from venue.auth.v1 import auth_pb2
from venue.option.v1 import access_pb2


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthRules:
    """What a deployment decides. `public_url` is where users reach the gateway."""

    public_url: str
    access_life_s: int = 900
    session_life_s: float = 30 * 86_400.0
    grace_s: float = GRACE_S
    login_requires_verified: bool = False


class AuthServicer(CredentialServicer):
    """Registration, log-in and the life of tokens. What else a user proves himself with stands in credential_servicer.py."""

    def __init__(
        self,
        *,
        engine: AsyncEngine,
        passwords: Passwords,
        keys: SigningKeys,
        refresh_tokens: RefreshTokens,
        attempts: Attempts,
        page_tokens: PageTokens,
        sealer: Sealer,
        elsewhere: Elsewhere,
        rules: AuthRules,
    ) -> None:
        self.desk = Desk(engine, sealer, rules.public_url)
        access_tokens = AccessTokens(keys, life_s=rules.access_life_s)
        factor = SecondFactor(engine, sealer)
        life_s = rules.session_life_s
        super().__init__(engine, sealer, passwords, access_tokens, factor, attempts, elsewhere, page_tokens, life_s)
        self._keys = keys
        self._refresh_tokens = refresh_tokens
        self._rules = rules
        self._door = Door(
            engine=engine,
            passwords=passwords,
            attempts=attempts,
            alarm=Alarm(self.desk),
            factor=factor,
            access=access_tokens,
            requires_verified=rules.login_requires_verified,
            session_life_s=rules.session_life_s,
        )

    async def forget_guesses(self, email_key: str) -> None:
        """What administration does for a user who has to wait. Raises PartUnavailable: others may still count them."""
        try:
            await self._attempts.clear(email_key)
        except GuessesAway:
            raise PartUnavailable("the count of log-ins") from None

    async def Register(self, request: auth_pb2.RegisterRequest, call: Call) -> auth_pb2.RegisterResponse:
        await register(
            self._engine,
            self._passwords,
            self._sealer,
            actor=actor_of(call),
            email=request.email,
            password=request.password,
            display_name=request.display_name,
            public_url=self._rules.public_url,
        )
        return auth_pb2.RegisterResponse(message=MESSAGE)

    async def VerifyEmail(self, request: auth_pb2.VerifyEmailRequest, call: Call) -> auth_pb2.VerifyEmailResponse:
        await verify_email(self._engine, actor=actor_of(call), token=request.token)
        return auth_pb2.VerifyEmailResponse()

    async def Login(self, request: auth_pb2.LoginRequest, call: Call) -> auth_pb2.LoginResponse:
        grant = await log_in(
            self._door,
            Given(email=request.email, password=request.password, totp_code=request.totp_code),
            actor=actor_of(call),
            user_agent=call.user_agent,
        )
        return auth_pb2.LoginResponse(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            token_type=BEARER,
            expires_in=grant.expires_in,
            user=to_user(grant.user),
        )

    async def Refresh(self, request: auth_pb2.RefreshRequest, call: Call) -> auth_pb2.RefreshResponse:
        grant = await refresh(
            self._engine,
            self._access_tokens,
            self._refresh_tokens,
            actor=actor_of(call),
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
        await log_out(self._engine, actor_of(call))
        return auth_pb2.LogoutResponse()

    async def RequestPasswordReset(
        self, request: auth_pb2.RequestPasswordResetRequest, call: Call
    ) -> auth_pb2.RequestPasswordResetResponse:
        await request_password_reset(self.desk, actor=actor_of(call), email=request.email)
        return auth_pb2.RequestPasswordResetResponse(message=RESET_MESSAGE)

    async def ResetPassword(self, request: auth_pb2.ResetPasswordRequest, call: Call) -> auth_pb2.ResetPasswordResponse:
        actor, token, new = actor_of(call), request.token, request.new_password
        await reset_password(self._engine, self._passwords, self._sealer, actor=actor, token=token, new=new)
        return auth_pb2.ResetPasswordResponse()

    async def ChangePassword(
        self, request: auth_pb2.ChangePasswordRequest, call: Call
    ) -> auth_pb2.ChangePasswordResponse:
        await change_password(
            self._engine,
            self._passwords,
            self._attempts,
            self._sealer,
            actor=actor_of(call),
            current=request.current_password,
            new=request.new_password,
        )
        return auth_pb2.ChangePasswordResponse()

    async def UnlockLogin(self, request: auth_pb2.UnlockLoginRequest, call: Call) -> auth_pb2.UnlockLoginResponse:
        await unlock_login(self._engine, actor=actor_of(call), token=request.token)
        return auth_pb2.UnlockLoginResponse()

    async def ListSessions(self, request: auth_pb2.ListSessionsRequest, call: Call) -> auth_pb2.ListSessionsResponse:
        return await list_sessions(self._engine, self._page_tokens, request, call.identity)

    async def RevokeSession(self, request: auth_pb2.RevokeSessionRequest, call: Call) -> auth_pb2.RevokeSessionResponse:
        await revoke_session(self._engine, actor=actor_of(call), session_id=request.session_id)
        return auth_pb2.RevokeSessionResponse()

    async def WhoAmI(self, request: auth_pb2.WhoAmIRequest, call: Call) -> auth_pb2.WhoAmIResponse:
        del request
        identity = call.identity
        me = auth_pb2.WhoAmIResponse(
            user=to_user(await who_am_i(self._engine, identity.user_id)),
            scopes=cast("list[access_pb2.Scope.ValueType]", sorted(identity.scopes)),
            session_id="" if identity.api_key_id else identity.session_id,
            api_key_id=identity.api_key_id,
            account_id=identity.account_id,
            second_factor=await factors.is_enrolled(self._engine, identity.user_id),
        )
        if isfinite(identity.expires):
            me.expire_time.FromSeconds(int(identity.expires))
        if not identity.api_key_id:
            me.auth_time.FromSeconds(int(identity.auth_time))
        return me

    async def GetJwks(self, request: auth_pb2.GetJwksRequest, call: Call) -> auth_pb2.GetJwksResponse:
        del request, call
        return auth_pb2.GetJwksResponse(keys=[auth_pb2.Jwk(**key) for key in self._keys.jwks()])
