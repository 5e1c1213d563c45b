"""A deposit is begun: written down first, then asked for at the company, so that nothing that is paid is unknown here."""

import secrets
import uuid
from collections.abc import Mapping
from hashlib import sha256
from string import ascii_uppercase, digits
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import deposits
from db.crash_points import passing
from db.deposits import NewDeposit
from db.models.deposits import DepositRow
from servers.domain.errors import PartUnavailable, RequestIdReused
from servers.domain.identifiers import account_environment
from servers.domain.money import ATTO_SCALE, parse, rescale
from servers.domain.transfer_errors import AmountInvalid, AssetUnknown
from servers.engine.client import Engine, Engines
from servers.funding.credit_deposit import Crediting
from servers.funding.errors import DepositRefused, ProviderUnavailable
from servers.funding.provider import Provider, RefusedByProvider
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2
from venue.funding.v1 import funding_pb2 as pb

# Without those that look like each other.
REFERENCE_LETTERS: Final = "".join(letter for letter in ascii_uppercase + digits if letter not in "IO01")
REFERENCE_LENGTH: Final = 10

log = structlog.get_logger()


class Beginning:
    """Begins deposits. `providers` are those that are set up, by name."""

    def __init__(
        self, engine: AsyncEngine, engines: Engines[Engine], providers: Mapping[str, Provider], crediting: Crediting
    ) -> None:
        self._engine = engine
        self._engines = engines
        self._providers = providers
        self._crediting = crediting

    async def create_deposit(self, request: pb.CreateDepositRequest, call: Call) -> tuple[DepositRow, bool]:
        """The deposit, and whether an earlier call had begun it.

        Raises AccountNotFound, ProviderUnavailable, AssetUnknown, AmountInvalid, DepositRefused, RequestIdReused,
        PartUnavailable.
        """
        engine = self._engines.for_account(request.account_id)
        query = engine_pb2.AccountsQuery(user_id=call.user_id, account_id=request.account_id)
        await engine.query(engine_pb2.QueryRequest(accounts=query))
        name = pb.DepositProvider.Name(request.provider).removeprefix("DEPOSIT_PROVIDER_")
        provider = self._provider(name, request.account_id)
        amount = amount_of(request, provider)
        manual = name == "MANUAL"
        new = NewDeposit(
            deposit_id=f"dep-{uuid.uuid4()}",
            user_id=call.user_id,
            account_id=request.account_id,
            asset=request.asset,
            amount=amount,
            provider=name,
            request_id=request.request_id.lower(),
            fingerprint=fingerprint(request),
            transfer_id=f"{engine.partition}-{uuid.uuid4().hex}",
            payment_reference="".join(secrets.choice(REFERENCE_LETTERS) for _ in range(REFERENCE_LENGTH))
            if manual
            else "",
        )
        row, is_new = await deposits.add(self._engine, new, provider.life)
        if row.fingerprint != new.fingerprint:
            raise RequestIdReused(request.request_id)
        passing("deposit-written")
        # One whose company was not heard is asked for again by who repeats the call.
        if row.state == deposits.PENDING and not row.session_id:
            row = await self._begin(row, provider)
        if row.failure == "REFUSED_BY_PROVIDER":
            raise DepositRefused(row.deposit_id)
        return row, not is_new

    def _provider(self, name: str, account_id: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise ProviderUnavailable(name, "it is not set up")
        if provider.environment != account_environment(account_id):
            raise ProviderUnavailable(name, f"it is for accounts of {provider.environment.name}")
        return provider

    async def _begin(self, row: DepositRow, provider: Provider) -> DepositRow:
        try:
            begun = await provider.begin(row)
        except RefusedByProvider:
            failed = await deposits.move_alone(
                self._engine, row.deposit_id, deposits.FAILED, failure="REFUSED_BY_PROVIDER"
            )
            return failed or await self._found(row.deposit_id)
        passing("deposit-page-made")
        if begun.state == deposits.PAID:
            await deposits.move_alone(self._engine, row.deposit_id, deposits.PAID)
            try:
                await self._crediting.credit(row.deposit_id)
            except PartUnavailable as error:
                log.warning("credited later", deposit_id=row.deposit_id, cause=str(error))
            return await self._found(row.deposit_id)
        if begun.session_id and begun.expires is not None:
            return await deposits.tell_page(self._engine, row.deposit_id, begun.session_id, begun.url, begun.expires)
        return row

    async def _found(self, deposit_id: str) -> DepositRow:
        row = await deposits.find(self._engine, deposit_id)
        assert row is not None, "nothing is ever deleted"
        return row


def amount_of(request: pb.CreateDepositRequest, provider: Provider) -> int:
    """In units of 1e-18. Raises AssetUnknown: the provider does not take it; AmountInvalid: finer than it takes."""
    scale = provider.scales.get(request.asset)
    if scale is None:
        raise AssetUnknown(request.asset)
    amount = parse(request.amount, ATTO_SCALE)
    if rescale(amount, scale) is None:
        raise AmountInvalid
    return amount


def fingerprint(request: pb.CreateDepositRequest) -> bytes:
    """Tells one body of a request from another under the same request_id."""
    plain = pb.CreateDepositRequest()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    return sha256(plain.SerializeToString(deterministic=True)).digest()
