"""Who somebody is: register, log in, refresh, be refused."""

import secrets

from servers.conformance.visit import Refusal, Visit, demand, expect


async def register_tells_nothing(visit: Visit) -> None:
    # Not the visit's own: who registers an address anew that nobody verified takes it over.
    body = {
        "email": f"new.{secrets.token_hex(6)}@example.com",
        "password": visit.password,
        "displayName": "Conformance",
    }
    first, again = [await visit.good("POST", "/v1/auth/register", body, known=False) for _ in range(2)]
    expect("the answer to a known address", again, first)


async def login_answers_tokens(visit: Visit) -> None:
    body = {"email": visit.email, "password": visit.password}
    login = await visit.good("POST", "/v1/auth/login", body, known=False)
    expect("tokenType", login["tokenType"], "Bearer")
    demand("expiresIn is not above zero", holds=login["expiresIn"] > 0)
    expect("user.email", login["user"]["email"], visit.email)
    expect("who the token is", (await visit.good("GET", "/v1/auth/me"))["user"]["email"], visit.email)


async def a_wrong_password_is_refused(visit: Visit) -> None:
    body = {"email": visit.email, "password": f"{visit.password}x"}
    refusal = await visit.refused("POST", "/v1/auth/login", body, known=False)
    expect("the refusal", refusal, Refusal(401, 16, "CREDENTIALS_INVALID", "venue", ()))


async def a_refresh_is_answered_alike_for_a_moment(visit: Visit) -> None:
    body = {"email": visit.email, "password": visit.password}
    first = (await visit.good("POST", "/v1/auth/login", body, known=False))["refreshToken"]
    renewed, again = [
        (await visit.good("POST", "/v1/auth/refresh", {"refreshToken": first}, known=False))["refreshToken"]
        for _ in range(2)
    ]
    demand("the refresh token is the same again", holds=renewed != first)
    expect("the answer to a repeat", again, renewed)
    refusal = await visit.refused("POST", "/v1/auth/refresh", {"refreshToken": f"{first}x"}, known=False)
    expect("a token of nobody", refusal, Refusal(401, 16, "REFRESH_TOKEN_INVALID", "venue", ()))


async def without_a_token_nothing_is_shown(visit: Visit) -> None:
    refusal = await visit.refused("GET", "/v1/accounts", known=False)
    expect("the refusal", (refusal.status, refusal.code, refusal.reason), (401, 16, "UNAUTHENTICATED"))


async def keys_are_published(visit: Visit) -> None:
    keys = (await visit.good("GET", "/.well-known/jwks.json", known=False))["keys"]
    demand("no key", holds=bool(keys) and all(key.get("kid") and "d" not in key for key in keys))
