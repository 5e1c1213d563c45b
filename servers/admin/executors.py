"""What pending actions come to when they are executed, by kind.

An executor runs in the transaction that says EXECUTED. What it does to the services' tables is committed with that; what it asks
of the engine has the action's own id, so asking again after a crash changes nothing more. Raises VenueError: one whose outcome
is known ends the action as FAILED, any other leaves it to be executed again.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy.ext.asyncio import AsyncSession

from db import users
from db.audit import Action
from db.models.pending_actions import PendingActionRow
from servers.admin.errors import UserNotFound
from servers.admin.markets import market_of, state_name
from servers.domain.errors import AccountNotFound, DefinitionInvalid, VenueError
from servers.domain.identifiers import VENUE_EXTERNAL, VENUE_PAPER, account_environment
from servers.domain.terms import EntryKind, Environment
from servers.engine.client import Engine, Engines
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2

SET_USER_ROLE: Final = "SET_USER_ROLE"
UNFREEZE_USER: Final = "UNFREEZE_USER"
SET_MARKET_STATE: Final = "SET_MARKET_STATE"
SET_LIMITS: Final = "SET_LIMITS"
SET_ACCOUNT_TERMS: Final = "SET_ACCOUNT_TERMS"
ADJUST_BALANCE: Final = "ADJUST_BALANCE"
CONFIRM_DEPOSIT: Final = "CONFIRM_DEPOSIT"
DECIDE_WITHDRAWAL: Final = "DECIDE_WITHDRAWAL"
ENGINE_S: Final = 10.0

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deed:
    """What was done, for the audit log; `before` is None where it was done by an earlier try."""

    before: Json | None
    after: Json


Executor = Callable[[AsyncSession, PendingActionRow], Awaitable[Deed]]
Elsewhere = Callable[[AsyncSession, Json], Awaitable[tuple[Json, Json]]]
"""What another room does of an action's payload in its transaction: what was before, and what is after. Raises VenueError."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of pending action: how it is executed, what that is called, and what it is done to."""

    execute: Executor
    action: Action
    object: Callable[[Json], str]


def done_by(deed: Elsewhere) -> Executor:
    """An executor of another room's deed."""

    async def execute(session: AsyncSession, row: PendingActionRow) -> Deed:
        return Deed(*await deed(session, row.payload))

    return execute


async def set_user_role(session: AsyncSession, row: PendingActionRow) -> Deed:
    """Raises UserNotFound."""
    user_id, role = row.payload["user_id"], row.payload["role"]
    before = await users.change_access_within(session, user_id, role=role)
    if before is None:
        raise UserNotFound(user_id)
    return Deed({"role": before.role}, {"role": role})


async def unfreeze_user(session: AsyncSession, row: PendingActionRow) -> Deed:
    """Raises UserNotFound."""
    user_id = row.payload["user_id"]
    before = await users.change_access_within(session, user_id, status=users.ACTIVE)
    if before is None:
        raise UserNotFound(user_id)
    return Deed({"status": before.status}, {"status": users.ACTIVE})


class EngineDeeds:
    """Executors that ask the engine."""

    def __init__(self, engines: Engines[Engine]) -> None:
        self._engines = engines

    async def set_market_state(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises MarketNotFound, MarketClosed, PartUnavailable."""
        del session
        symbol, state = row.payload["symbol"], int(row.payload["state"])
        engine = self._engines.for_market(int(row.payload["environment"]), symbol)
        before = state_name((await market_of(engine, symbol)).state)
        body = engine_pb2.SetMarketState(symbol=symbol, state=state)  # type: ignore[arg-type]  # checked when proposed
        done = await submit(engine, row, engine_pb2.Command(set_market_state=body))
        return Deed(None if done.replayed else {"state": before}, {"state": state_name(state)})

    async def set_limits(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises AccountNotFound, MarketNotFound, DefinitionInvalid, PartUnavailable."""
        del session
        payload = row.payload
        engine = limits_engine(self._engines, payload)
        key = (payload["account_id"], payload["tier"], payload["symbol"])
        found = (await engine.query(engine_pb2.QueryRequest(limits=engine_pb2.LimitsQuery()))).limits
        earlier = [MessageToDict(each.limits) for each in found if (each.account_id, each.tier, each.symbol) == key]
        limits = ParseDict(dict(payload["limits"]), order_pb2.Limits())
        body = engine_pb2.SetLimits(account_id=key[0], tier=key[1], symbol=key[2], limits=limits)
        done = await submit(engine, row, engine_pb2.Command(set_limits=body))
        before = {"limits": earlier[0] if earlier else {}}
        return Deed(None if done.replayed else before, {"limits": payload["limits"]})

    async def set_account_terms(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises AccountNotFound, DefinitionInvalid, PartUnavailable."""
        del session
        account_id = row.payload["account_id"]
        engine = self._engines.for_account(account_id)
        before = terms(await account_of(engine, account_id))
        # Only what was wanted, and of what was to be changed: the other may have been changed meanwhile.
        wanted = {name: row.payload[name] for name in before if row.payload[name] != row.payload[f"previous_{name}"]}
        seen = {f"previous_{name}": row.payload[f"previous_{name}"] for name in wanted}
        body = engine_pb2.SetAccountTerms(account_id=account_id, **wanted, **seen)
        done = await submit(engine, row, engine_pb2.Command(set_account_terms=body))
        return Deed(None if done.replayed else {name: before[name] for name in wanted}, wanted)

    async def adjust_balance(self, session: AsyncSession, row: PendingActionRow) -> Deed:
        """Raises AccountNotFound, AccountNotActive, InsufficientFunds, DefinitionInvalid, PartUnavailable."""
        del session
        account_id, asset = row.payload["account_id"], row.payload["asset"]
        engine = self._engines.for_account(account_id)
        before = await available(engine, account_id, asset)
        body = adjustment(row.payload)
        done = await submit(engine, row, engine_pb2.Command(transfer=body))
        after = {"available": await available(engine, account_id, asset), "transfer_id": body.transfer_id}
        return Deed(None if done.replayed else {"available": before}, after)


async def submit(engine: Engine, row: PendingActionRow, command: engine_pb2.Command) -> engine_pb2.Done:
    """Have an action's command done. The engine remembers a transfer by its own id, everything else by the action's.

    Raises VenueError.
    """
    if command.WhichOneof("body") != "transfer":
        command.request_id = row.pending_action_id.partition("-")[2]
    outcome = (await engine.submit((command,), ENGINE_S))[0]
    if isinstance(outcome, VenueError):
        raise outcome
    return engine_pb2.Done.FromString(outcome)


def limits_engine(engines: Engines[Engine], payload: Json) -> Engine:
    """The partition that limits are kept in: that of the account, else of the market. Raises MarketNotFound, AccountNotFound."""
    environment = int(payload["environment"])
    if payload["account_id"]:
        if int(account_environment(payload["account_id"])) != environment:
            raise AccountNotFound(payload["account_id"])
        return engines.for_account(payload["account_id"])
    return engines.for_market(environment, payload["symbol"])


async def account_of(engine: Engine, account_id: str) -> account_pb2.Account:
    """A customer's account. Raises AccountNotFound."""
    query = engine_pb2.AccountsQuery(account_id=account_id)
    return (await engine.query(engine_pb2.QueryRequest(accounts=query))).accounts[0]


async def check_terms(engine: Engine, account_id: str, tier: str, group: str) -> None:
    """Raises DefinitionInvalid: what the engine would refuse when it is too late to tell who proposed it."""
    query = engine_pb2.AccountsQuery(account_id=account_id)
    if tier and tier not in (await engine.query(engine_pb2.QueryRequest(accounts=query))).tiers:
        raise DefinitionInvalid("tier", "is none that rates or limits were set for")
    if group not in {"", account_id}:
        with suppress(AccountNotFound):
            await account_of(engine, group)
            raise DefinitionInvalid("self_trade_group", "is the id of another account")


def terms(account: account_pb2.Account) -> dict[str, str]:
    """What an account's orders come under."""
    return {"tier": account.tier, "self_trade_group": account.self_trade_group}


async def available(engine: Engine, account_id: str, asset: str) -> str:
    """What an account can use of an asset. Raises AccountNotFound."""
    query = engine_pb2.BalancesQuery(account_id=account_id)
    found = (await engine.query(engine_pb2.QueryRequest(balances=query))).balances
    return next((balance.available for balance in found if balance.asset == asset), "0")


def adjustment(payload: Json) -> engine_pb2.Transfer:
    """The transfer of a correction: from the venue's own account of that world, or to it."""
    live = account_environment(payload["account_id"]) == Environment.LIVE
    venue, amount = VENUE_EXTERNAL if live else VENUE_PAPER, str(payload["amount"])
    taken = amount.startswith("-")
    return engine_pb2.Transfer(
        transfer_id=payload["transfer_id"],
        debit_account_id=payload["account_id"] if taken else venue,
        credit_account_id=venue if taken else payload["account_id"],
        asset=payload["asset"],
        amount=amount.removeprefix("-"),
        kind=int(EntryKind.ADJUSTMENT),  # type: ignore[arg-type]  # the domain's numbers are the wire's
    )


def kinds(engines: Engines[Engine]) -> dict[str, Kind]:
    """Every kind of pending action there is."""
    deeds = EngineDeeds(engines)

    def of_user(payload: Json) -> str:
        return f"user/{payload['user_id']}"

    def of_market(payload: Json) -> str:
        return f"market/{Environment(int(payload['environment'])).name}/{payload['symbol']}"

    def of_limits(payload: Json) -> str:
        narrowed = "/".join(str(payload[name] or "*") for name in ("account_id", "tier", "symbol"))
        return f"limits/{Environment(int(payload['environment'])).name}/{narrowed}"

    def of_account(payload: Json) -> str:
        return f"account/{payload['account_id']}"

    return {
        SET_USER_ROLE: Kind(set_user_role, Action.USER_ROLE_SET, of_user),
        UNFREEZE_USER: Kind(unfreeze_user, Action.USER_UNFREEZE, of_user),
        SET_MARKET_STATE: Kind(deeds.set_market_state, Action.MARKET_STATE_SET, of_market),
        SET_LIMITS: Kind(deeds.set_limits, Action.LIMITS_SET, of_limits),
        SET_ACCOUNT_TERMS: Kind(deeds.set_account_terms, Action.ACCOUNT_TERMS_SET, of_account),
        ADJUST_BALANCE: Kind(deeds.adjust_balance, Action.BALANCE_ADJUST, of_account),
    }
