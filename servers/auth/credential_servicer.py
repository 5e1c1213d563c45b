"""The RPCs of AuthService about what a user proves himself with beside the password: second factor, API keys, sign-on."""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from db.models.users import UserRow
from db.sealing import Sealer
from servers.auth.api_keys import Owned, create_api_key, list_api_keys, revoke_api_key, to_api_key
from servers.auth.attempts import Attempts
from servers.auth.passwords import Passwords
from servers.auth.quota import Quotas
from servers.auth.second_factor import SecondFactor
from servers.auth.sign_on import authorize, exchange
from servers.auth.step_up import step_up
from servers.auth.tokens import AccessTokens, role_of
from servers.transport.call import Call
from servers.transport.paging import PageTokens
from venue.auth.v1 import auth_pb2 as pb

BEARER = "Bearer"


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What other parts of the venue know: whose an account is, and what their limits have counted."""

    owned: Owned
    quotas: Quotas


class CredentialServicer:
    def __init__(
        self,
        engine: AsyncEngine,
        sealer: Sealer,
        passwords: Passwords,
        access_tokens: AccessTokens,
        factor: SecondFactor,
        attempts: Attempts,
        elsewhere: Elsewhere,
        page_tokens: PageTokens,
        session_life_s: float,
    ) -> None:
        self._engine = engine
        self._sealer = sealer
        self._passwords = passwords
        self._access_tokens = access_tokens
        self._factor = factor
        self._attempts = attempts
        self._elsewhere = elsewhere
        self._page_tokens = page_tokens
        self._session_life_s = session_life_s

    async def EnrollTotp(self, request: pb.EnrollTotpRequest, call: Call) -> pb.EnrollTotpResponse:
        begun = await self._factor.enroll(call)
        return pb.EnrollTotpResponse(secret=begun.secret, otpauth_uri=begun.uri, recovery_codes=begun.recovery_codes)

    async def ConfirmTotp(self, request: pb.ConfirmTotpRequest, call: Call) -> pb.ConfirmTotpResponse:
        await self._factor.confirm(call, request.code)
        return pb.ConfirmTotpResponse()

    async def DisableTotp(self, request: pb.DisableTotpRequest, call: Call) -> pb.DisableTotpResponse:
        await self._factor.disable(call)
        return pb.DisableTotpResponse()

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, call: Call) -> pb.CreateApiKeyResponse:
        row, secret = await create_api_key(self._engine, self._sealer, self._elsewhere.owned, request, call)
        return pb.CreateApiKeyResponse(api_key=to_api_key(row), secret=secret)

    async def ListApiKeys(self, request: pb.ListApiKeysRequest, call: Call) -> pb.ListApiKeysResponse:
        rows, token = await list_api_keys(self._engine, self._page_tokens, request, call)
        return pb.ListApiKeysResponse(api_keys=map(to_api_key, rows), next_page_token=token)

    async def RevokeApiKey(self, request: pb.RevokeApiKeyRequest, call: Call) -> pb.RevokeApiKeyResponse:
        await revoke_api_key(self._engine, request.api_key_id, call)
        return pb.RevokeApiKeyResponse()

    async def Authorize(self, request: pb.AuthorizeRequest, call: Call) -> pb.AuthorizeResponse:
        code, redirect_uri = await authorize(self._engine, request, call)
        return pb.AuthorizeResponse(code=code, redirect_uri=redirect_uri)

    async def Exchange(self, request: pb.ExchangeRequest, call: Call) -> pb.ExchangeResponse:
        life_s = self._session_life_s
        grant = await exchange(self._engine, self._access_tokens, request, call, session_life_s=life_s)
        return pb.ExchangeResponse(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            token_type=BEARER,
            expires_in=grant.expires_in,
            user=to_user(grant.user),
        )

    async def GetQuota(self, request: pb.GetQuotaRequest, call: Call) -> pb.GetQuotaResponse:
        return pb.GetQuotaResponse(quotas=await self._elsewhere.quotas.of(call))

    async def StepUp(self, request: pb.StepUpRequest, call: Call) -> pb.StepUpResponse:
        grant = await step_up(
            self._engine,
            self._passwords,
            self._attempts,
            self._factor,
            self._access_tokens,
            call=call,
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
