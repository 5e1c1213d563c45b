"""Single sign-on: a user lets a registered client act for him, by a code that is good once (OAuth 2.1 with PKCE, RFC 7636)."""

from hashlib import sha256
from typing import Final
from urllib.parse import urlencode, urlsplit

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import sign_on
from db.audit import Action, Entry
from servers.auth.errors import AuthorizationCodeInvalid, ClientInvalid
from servers.auth.identifiers import new_id
from servers.auth.keys import base64url
from servers.auth.tokens import AccessTokens, Grant, RefreshTokens, new_token, token_hash
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.refusals import NotPermitted
from venue.auth.v1 import auth_pb2 as pb

CODE: Final = "vac_"
CODE_S: Final = 60.0

log = structlog.get_logger()


async def authorize(engine: AsyncEngine, request: pb.AuthorizeRequest, call: Call) -> tuple[str, str]:
    """A code for a client, and where to send the user with it. Raises ClientInvalid; NotPermitted for a client's own session."""
    client = await sign_on.find_client(engine, request.client_id)
    if client is None:
        raise ClientInvalid("client_id")
    # Exactly: a prefix or pattern would let codes go where the client is not.
    if request.redirect_uri not in client.redirect_uris:
        raise ClientInvalid("redirect_uri")
    code = new_token(CODE)
    entry = Entry(actor=actor_of(call), action=Action.SIGN_ON_AUTHORIZE, object=f"client/{client.client_id}")
    given = await sign_on.add_code(
        engine,
        code_hash=token_hash(code),
        client_id=client.client_id,
        session_id=call.identity.session_id,
        redirect_uri=request.redirect_uri,
        code_challenge=request.code_challenge,
        life_s=CODE_S,
        entry=entry,
    )
    if not given:
        raise NotPermitted(client_id=client.client_id)
    answer = {"code": code} | ({"state": request.state} if request.state else {})
    joined = "&" if urlsplit(request.redirect_uri).query else "?"
    return code, f"{request.redirect_uri}{joined}{urlencode(answer)}"


async def exchange(
    engine: AsyncEngine, access: AccessTokens, request: pb.ExchangeRequest, call: Call, *, session_life_s: float
) -> Grant:
    """Tokens of a new session for a code. Raises AuthorizationCodeInvalid."""
    refresh_token = RefreshTokens.first()
    asked = sign_on.Asked(
        code_hash=token_hash(request.code),
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        code_challenge=base64url(sha256(request.code_verifier.encode()).digest()),
        session_id=new_id("ses"),
        address=call.peer,
        user_agent=call.user_agent,
        refresh_hash=token_hash(refresh_token),
        life_s=session_life_s,
    )
    match await sign_on.use_code(engine, asked, actor_of(call)):
        case sign_on.Opened(user=user, session=session):
            return access.grant(user, session, refresh_token)
        case sign_on.Reused(session_id=session_id):
            log.warning("authorization code used again", client_id=request.client_id, session_id=session_id)
    raise AuthorizationCodeInvalid
