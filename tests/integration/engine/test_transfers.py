"""Transfers through EngineService.Submit, wrong in every way: each has an answer of its own, and nothing is changed (`b12`)."""

import asyncio
import uuid
from typing import Any

import pytest

from db.session import PROJECTOR, connect
from servers.domain.errors import VenueError
from servers.domain.invariants import breaches
from servers.domain.state import state_hash
from servers.engine.client import Engine
from tests.integration.engine.conftest import Lead
from tests.integration.engine.leading import Led, projecting
from tests.integration.engine.test_remote import remote, served
from tests.servers import free_port
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb

HUGE = str(2**127)
DELETE = "DELETE FROM requests WHERE scope = 'transfer' AND request_id = %s"


class Teller:
    """Makes and resolves transfers of an account; pending ones named by what became of them."""

    def __init__(self, led: Led, engine: Engine, account_id: str, other_id: str) -> None:
        self.led = led
        self.engine = engine
        self.account_id = account_id
        self.other_id = other_id
        self.ids = {name: str(uuid.uuid4()) for name in ("pending", "posted", "voided")}

    async def do(self, **body: Any) -> str:
        """The reason of the refusal, empty if there is none."""
        try:
            (outcome,) = await self.engine.submit([pb.Command(**body)], 10.0)
        except VenueError as unknown:
            return unknown.reason
        return outcome.reason if isinstance(outcome, VenueError) else ""

    async def make(self, transfer_id: str = "", **changed: Any) -> str:
        fields: dict[str, Any] = {
            "transfer_id": transfer_id or str(uuid.uuid4()),
            "debit_account_id": self.account_id,
            "credit_account_id": "venue:external",
            "asset": "USD",
            "amount": "100",
            "kind": account_pb2.ENTRY_KIND_WITHDRAWAL,
            "pending": True,
        }
        return await self.do(transfer=pb.Transfer(**fields | changed))

    async def resolve(self, name: str, **how: Any) -> str:
        return await self.do(resolve_transfer=pb.ResolveTransfer(transfer_id=self.ids.get(name, name), **how))

    async def prepare(self) -> None:
        for transfer_id in self.ids.values():
            assert await self.make(transfer_id) == ""
        assert await self.resolve("posted", amount="60") == ""
        assert await self.resolve("voided", void=True) == ""


async def answers(teller: Teller) -> dict[str, str]:
    """What each wrong deed is refused for."""
    return {
        "post more than is pending": await teller.resolve("pending", amount="100.00000001"),
        "post 2^127 atto": await teller.resolve("pending", amount="170.141183460469231731"),
        "post twice": await teller.resolve("posted"),
        "void after post": await teller.resolve("posted", void=True),
        "post after void": await teller.resolve("voided"),
        "void twice": await teller.resolve("voided", void=True),
        "resolve nothing": await teller.resolve("nothing"),
        "the same id with another amount": await teller.make(teller.ids["pending"], amount="101"),
        "the same id across assets": await teller.make(teller.ids["pending"], asset="BTC"),
        "amount 0": await teller.make(amount="0"),
        "finer than the asset": await teller.make(amount="0.000000001"),
        "post nothing": await teller.resolve("pending", amount="-1"),
        "an asset that is none": await teller.make(asset="XYZ"),
        "2^127": await teller.make(amount=HUGE),
        "more than there is": await teller.make(amount="999999999"),
        "from nobody": await teller.make(debit_account_id="demo-nobody"),
        "from a frozen account": await teller.make(debit_account_id=teller.other_id),
        "to itself": await teller.make(credit_account_id=teller.account_id),
    }


@pytest.mark.parametrize("way", ["in process", "over the wire"])
async def test_each_wrong_transfer_has_its_own_answer_and_changes_nothing(lead: Lead, way: str) -> None:
    port = free_port()
    led = await lead(address=f"127.0.0.1:{port}")
    account_id, frozen = await led.open_account(), await led.open_account()
    await led.submit(pb.Command(set_account_status=pb.SetAccountStatus(account_id=frozen, status=2)))  # type: ignore[arg-type]
    async with served(led, port), remote(led) as engine:
        teller = Teller(led, led.engine if way == "in process" else engine, account_id, frozen)
        await teller.prepare()
        before = state_hash(led.exchange)
        found = await answers(teller)
        assert state_hash(led.exchange) == before
        assert breaches(led.exchange) == []
        # The pending one is as good as ever.
        assert await teller.resolve("pending") == ""
    assert found == {
        "post more than is pending": "TRANSFER_EXCEEDS_PENDING",
        "post 2^127 atto": "AMOUNT_INVALID",
        "post twice": "TRANSFER_ALREADY_POSTED",
        "void after post": "TRANSFER_ALREADY_POSTED",
        "post after void": "TRANSFER_ALREADY_VOIDED",
        "void twice": "TRANSFER_ALREADY_VOIDED",
        "resolve nothing": "TRANSFER_NOT_FOUND",
        "the same id with another amount": "TRANSFER_ID_REUSED",
        "the same id across assets": "TRANSFER_ID_REUSED",
        "amount 0": "AMOUNT_INVALID",
        "finer than the asset": "AMOUNT_INVALID",
        "post nothing": "AMOUNT_INVALID",
        "an asset that is none": "ASSET_UNKNOWN",
        "2^127": "DEFINITION_INVALID",
        "more than there is": "INSUFFICIENT_FUNDS",
        "from nobody": "ACCOUNT_NOT_FOUND",
        "from a frozen account": "ACCOUNT_NOT_ACTIVE",
        "to itself": "ACCOUNTS_SAME",
    }
    usd = led.exchange.ledger.accounts[account_id].balances["USD"]
    # 60 of the posted one and 100 of the pending one are gone, the voided one and the rest are free again.
    assert (usd.available, usd.held) == ((1_000_000 - 160) * 10**8, 0)


async def test_the_id_of_a_transfer_whose_request_is_forgotten_is_not_used_again(
    lead: Lead, database_url: str, redis_url: str
) -> None:
    led = await lead(request_memory=2)
    account_id = await led.open_account()
    teller = Teller(led, led.engine, account_id, "")
    async with projecting(database_url, redis_url, request_memory=2):
        transfer_id = str(uuid.uuid4())
        assert await teller.make(transfer_id, pending=False) == ""
        made = 0
        while made < 3:
            # What the tables do not have yet is not guessed, and waits for them.
            await asyncio.sleep(0.01)
            made += await teller.make(pending=False) == ""
        assert ("transfer", transfer_id) not in led.exchange.requests
        await until_gone(database_url, transfer_id)
        reason = "UNAVAILABLE"
        while reason == "UNAVAILABLE":
            await asyncio.sleep(0.01)
            reason = await teller.make(transfer_id, pending=False)
    assert reason == "TRANSFER_ID_REUSED"


async def until_gone(database_url: str, transfer_id: str) -> None:
    """Forget the request of a transfer, as the replica does after a month, once it is written."""
    async with await connect(database_url, application_name="test", role=PROJECTOR) as connection, asyncio.timeout(20):
        while True:
            if (await connection.execute(DELETE, [transfer_id])).rowcount:
                return
            await asyncio.sleep(0.02)
