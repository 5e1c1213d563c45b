"""Markets, limits and balances: what is done at once, and what is proposed."""

import uuid
from typing import Final

from google.protobuf.json_format import MessageToDict
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, people
from db.audit import Action, Actor, Entry
from servers.admin.errors import NothingToChange
from servers.admin.executors import (
    ADJUST_BALANCE,
    ENGINE_S,
    SET_ACCOUNT_TERMS,
    SET_LIMITS,
    SET_MARKET_STATE,
    account_of,
    check_terms,
    limits_engine,
    terms,
)
from servers.admin.markets import market_of, state_name
from servers.admin.pending_actions import Wish, fingerprint
from servers.domain.errors import FieldViolation, MarketClosed, PartUnavailable, VenueError
from servers.domain.money import NotDecimal, parse
from servers.domain.terms import Environment
from servers.engine.client import Engine, Engines
from servers.transport.refusals import InvalidField
from venue.admin.v1 import admin_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2

# What stops harm or prepares to trade, and locks nobody in: cancels go through in each of them.
AT_ONCE: Final = frozenset(
    {
        marketdata_pb2.MARKET_STATE_PRE_OPEN,
        marketdata_pb2.MARKET_STATE_POST_ONLY,
        marketdata_pb2.MARKET_STATE_CANCEL_ONLY,
    }
)
PROPOSED: Final = frozenset(
    {marketdata_pb2.MARKET_STATE_OPEN, marketdata_pb2.MARKET_STATE_HALTED, marketdata_pb2.MARKET_STATE_CLOSED}
)
DECIMALS: Final = ("quantity_max", "notional_max", "position_max", "daily_loss_max", "price_band_percent")


class Trading:
    """What administration does about markets, limits and balances. `default` is the environment of requests that name none."""

    def __init__(self, engine: AsyncEngine, engines: Engines[Engine], default: Environment) -> None:
        self._engine = engine
        self._engines = engines
        self._default = default

    async def set_market_state(self, request: pb.SetMarketStateRequest, actor: Actor) -> marketdata_pb2.Market | Wish:
        """The market as it is then, or what is to be proposed.

        Raises MarketNotFound, MarketClosed, NothingToChange, InvalidField.
        """
        if request.state not in AT_ONCE | PROPOSED:
            what = "must be PRE_OPEN, OPEN, POST_ONLY, CANCEL_ONLY, HALTED or CLOSED"
            raise InvalidField([FieldViolation("state", what, "state.settable")])
        environment = request.environment or int(self._default)
        engine = self._engines.for_market(environment, request.symbol)
        market = await market_of(engine, request.symbol)
        if market.state == marketdata_pb2.MARKET_STATE_CLOSED:
            raise MarketClosed(request.symbol)
        if market.state == request.state:
            raise NothingToChange("state")
        if request.state in PROPOSED:
            return Wish(
                kind=SET_MARKET_STATE,
                payload={
                    "environment": environment,
                    "symbol": request.symbol,
                    "previous_state": market.state,
                    "state": request.state,
                },
                subject="",
                reason=request.reason,
                request_id=request.request_id,
                fingerprint=fingerprint(request),
            )
        body = engine_pb2.SetMarketState(symbol=request.symbol, state=request.state)
        outcome = (await engine.submit((engine_pb2.Command(set_market_state=body),), ENGINE_S))[0]
        if isinstance(outcome, VenueError):
            raise outcome
        entry = Entry(
            actor=actor,
            action=Action.MARKET_STATE_SET,
            object=f"market/{Environment(environment).name}/{request.symbol}",
            before={"state": state_name(market.state)},
            after={"state": state_name(request.state), "reason": request.reason},
        )
        await audit.record(self._engine, entry)
        return await market_of(engine, request.symbol)

    async def limits(self, request: pb.GetLimitsRequest) -> pb.GetLimitsResponse:
        """Raises MarketNotFound: no such environment here; PartUnavailable."""
        environment = request.environment or int(self._default)
        first = self._engines.for_environment(environment)
        rows: dict[tuple[str, str, str], engine_pb2.SetLimits] = {}
        for engine in [first, *self._engines.beside(environment).values()]:
            found = (await engine.query(engine_pb2.QueryRequest(limits=engine_pb2.LimitsQuery()))).limits
            rows |= {(each.account_id, each.tier, each.symbol): each for each in found}
        rules = [
            pb.LimitsRule(
                environment=environment,  # type: ignore[arg-type]  # a number of the request, or the domain's
                account_id=each.account_id,
                tier=each.tier,
                symbol=each.symbol,
                limits=each.limits,
            )
            for _, each in sorted(rows.items())
        ]
        return pb.GetLimitsResponse(rules=rules)

    async def wish_for_limits(self, request: pb.SetLimitsRequest) -> Wish:
        """Raises InvalidField, AccountNotFound, MarketNotFound."""
        rule = request.rule
        check_limits(rule)
        payload = {
            "environment": rule.environment,
            "account_id": rule.account_id,
            "tier": rule.tier,
            "symbol": rule.symbol,
            "limits": MessageToDict(rule.limits),
        }
        engine = limits_engine(self._engines, payload)
        subject = (await self._owner(engine, rule.account_id)) if rule.account_id else ""
        if rule.symbol:
            await market_of(engine, rule.symbol)
        return Wish(
            kind=SET_LIMITS,
            payload=payload,
            subject=subject,
            reason=request.reason,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )

    async def wish_for_terms(self, request: pb.SetAccountTermsRequest) -> Wish:
        """Raises AccountNotFound, DefinitionInvalid, NothingToChange."""
        engine = self._engines.for_account(request.account_id)
        subject = await self._owner(engine, request.account_id)
        now = terms(await account_of(engine, request.account_id))
        wanted = {name: getattr(request, name) or value for name, value in now.items()}
        if wanted == now:
            raise NothingToChange("tier" if request.tier else "self_trade_group")
        await check_terms(engine, request.account_id, request.tier, request.self_trade_group)
        return Wish(
            kind=SET_ACCOUNT_TERMS,
            payload={
                "account_id": request.account_id,
                **wanted,
                **{f"previous_{name}": value for name, value in now.items()},
            },
            subject=subject,
            reason=request.reason,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )

    async def wish_for_adjustment(self, request: pb.ProposeAdjustmentRequest) -> Wish:
        """Raises InvalidField, AccountNotFound."""
        if parse(request.amount.removeprefix("-")) == 0:
            raise InvalidField([FieldViolation("amount", "must not be zero", "amount.not_zero")])
        engine = self._engines.for_account(request.account_id)
        subject = await self._owner(engine, request.account_id)
        return Wish(
            kind=ADJUST_BALANCE,
            payload={
                "account_id": request.account_id,
                "asset": request.asset,
                "amount": request.amount,
                "transfer_id": f"{engine.partition}-{uuid.uuid4().hex}",
            },
            subject=subject,
            reason=request.reason,
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )

    async def _owner(self, engine: Engine, account_id: str) -> str:
        """Whose account it is.

        Raises AccountNotFound; PartUnavailable: it was opened so lately that the tables do not say yet.
        """
        balances = engine_pb2.BalancesQuery(account_id=account_id)
        await engine.query(engine_pb2.QueryRequest(balances=balances))
        owner = await people.find_owner(self._engine, engine.partition, account_id)
        if owner is None:
            raise PartUnavailable("the tables")
        return owner


def check_limits(rule: pb.LimitsRule) -> None:
    """Raises InvalidField: what the engine would refuse when it is too late to tell who proposed it."""
    wrong = []
    if rule.account_id and rule.tier:
        wrong.append(FieldViolation("rule.tier", "must be empty where an account is named", "rule.tier.alone"))
    for name in DECIMALS:
        text = getattr(rule.limits, name)
        try:
            if parse(text or "0") < 0:
                wrong.append(FieldViolation(f"rule.limits.{name}", "must not be negative", "decimal.negative"))
        except NotDecimal:
            wrong.append(FieldViolation(f"rule.limits.{name}", "is not a decimal", "decimal"))
    if rule.symbol and (rule.limits.open_orders_max or rule.limits.symbols_allowed):
        what = "open_orders_max and symbols_allowed are for all markets together"
        wrong.append(FieldViolation("rule.symbol", what, "rule.symbol.alone"))
    if wrong:
        raise InvalidField(wrong)
