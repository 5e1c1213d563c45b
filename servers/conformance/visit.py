"""What every check is given: REST and gRPC to one deployment, and somebody with a demo account there."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import grpc
import httpx

CALL_S: Final = 15.0
Json = dict[str, Any]


class Broken(Exception):
    """The contract is not kept: what was expected, and what came."""


def expect(what: str, came: object, wanted: object) -> None:
    """Raises Broken where they differ."""
    if came != wanted:
        raise Broken(f"{what}: {wanted!r} expected, {came!r} came"[:300])


def demand(what: str, *, holds: bool) -> None:
    """Raises Broken."""
    if not holds:
        raise Broken(what[:300])


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as REST shows it."""

    status: int
    code: int
    reason: str
    domain: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, answer: httpx.Response) -> "Refusal":
        """Raises Broken where the body is no google.rpc.Status."""
        try:
            body = answer.json()
            details = body["details"]
            info: Json = next((each for each in details if each["@type"].endswith("google.rpc.ErrorInfo")), {})
            wrong = [each for each in details if each["@type"].endswith("google.rpc.BadRequest")]
            fields = tuple(each["field"] for bad in wrong for each in bad["fieldViolations"])
            return cls(answer.status_code, body["code"], info.get("reason", ""), info.get("domain", ""), fields)
        except (ValueError, KeyError, TypeError):
            raise Broken(f"HTTP {answer.status_code} without a google.rpc.Status: {answer.text!r}"[:300]) from None


@dataclass(slots=True)
class Visit:
    """A run of the kit. `account_id`, tokens and market are there once `prepare` has been."""

    rest: httpx.AsyncClient
    channel: grpc.aio.Channel
    symbol: str
    email: str = field(default_factory=lambda: f"conformance.{secrets.token_hex(6)}@example.com")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    registers: bool = True
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    account_id: str = ""
    tick: Decimal = Decimal(0)
    lot: Decimal = Decimal(0)

    @property
    def headers(self) -> Mapping[str, str]:
        return {"authorization": f"Bearer {self.access}"}

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple(self.headers.items())

    async def prepare(self) -> None:
        """Register, log in, open a demo account, look the market up. Raises Broken."""
        if self.registers:
            body = {"email": self.email, "password": self.password, "displayName": "Conformance"}
            await self.good("POST", "/v1/auth/register", body, known=False)
        login = await self.good("POST", "/v1/auth/login", {"email": self.email, "password": self.password}, known=False)
        self.access, self.refresh = login["accessToken"], login["refreshToken"]
        opened = await self.good("POST", "/v1/accounts", {"type": "ACCOUNT_TYPE_DEMO", "name": "conformance"})
        self.account_id = opened["account"]["accountId"]
        market = (await self.good("GET", f"/v1/markets/{self.symbol}"))["market"]
        self.tick, self.lot = Decimal(market["tickSize"]), Decimal(market["lotSize"])

    async def ask(self, verb: str, path: str, body: Json | None = None, *, known: bool = True) -> httpx.Response:
        """The answer, whatever it is; `known`: with the token."""
        return await self.rest.request(verb, path, json=body, headers=self.headers if known else {})

    async def good(self, verb: str, path: str, body: Json | None = None, *, known: bool = True) -> Any:  # noqa: ANN401  JSON
        """Raises Broken where it is refused."""
        answer = await self.ask(verb, path, body, known=known)
        demand(f"{verb} {path}: HTTP {answer.status_code} {answer.text}", holds=answer.status_code == 200)
        return answer.json()

    async def refused(self, verb: str, path: str, body: Json | None = None, *, known: bool = True) -> Refusal:
        """Raises Broken where it is not refused."""
        answer = await self.ask(verb, path, body, known=known)
        demand(f"{verb} {path} was not refused: {answer.text}", holds=answer.status_code >= 400)
        return Refusal.of(answer)

    def order(self, **changes: object) -> Json:
        """A bid far below the market that is on tick and lot, and rests."""
        return {
            "accountId": self.account_id,
            "symbol": self.symbol,
            "side": "SIDE_BUY",
            "type": "ORDER_TYPE_LIMIT",
            "timeInForce": "TIME_IN_FORCE_GTC",
            "quantity": written(self.lot * 10_000),
            "price": written(self.tick * 250),
        } | changes

    async def place(self, **changes: object) -> Json:
        placed: Json = await self.good("POST", "/v1/orders", self.order(**changes))
        return placed


def written(number: Decimal) -> str:
    """As the contract writes decimals."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
