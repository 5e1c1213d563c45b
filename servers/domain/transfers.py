"""Transfers: at once, or in two phases (pending, then post or void), after TigerBeetle's semantics.

The limit is enforced when the hold is taken, so resolving can never break it. A pending transfer resolves once; posting less
than is pending releases the rest. Ids are unique for ever: the machine knows the recent ones (see Exchange.find_request), older
ones are looked up before the command is sequenced.
"""

from typing import Final

from servers.domain import commands as c
from servers.domain.definitions import amount_of
from servers.domain.errors import (
    AccountNotActive,
    AccountNotFound,
    DefinitionInvalid,
    InsufficientFunds,
    TransferAlreadyPosted,
    TransferAlreadyVoided,
    TransferExceedsPending,
    TransferNotFound,
)
from servers.domain.events import TransferChanged
from servers.domain.ledger import Ledger
from servers.domain.model import Account, Transfer
from servers.domain.money import format_units
from servers.domain.record import Record
from servers.domain.terms import AccountStatus, TransferState

# Resolved two-phase transfers that are remembered, so that a second resolution gets its precise error.
RESOLVED_MEMORY: Final = 10_000
_PENDING: Final = int(TransferState.PENDING)
_POSTED: Final = int(TransferState.POSTED)
_VOIDED: Final = int(TransferState.VOIDED)


class Transfers:
    """The transfers in two phases: pending ones, and the last that were resolved, oldest resolution first."""

    __slots__ = ("ledger", "pending", "record", "resolved")

    def __init__(self, ledger: Ledger, record: Record) -> None:
        self.ledger = ledger
        self.record = record
        self.pending: dict[str, Transfer] = {}
        self.resolved: dict[str, Transfer] = {}

    def _account(self, account_id: str) -> Account:
        account = self.ledger.accounts.get(account_id)
        if account is None:
            raise AccountNotFound(account_id)
        return account

    def make(self, command: c.MakeTransfer) -> None:
        """Move funds, or hold them. Raises AccountNotFound, AccountNotActive, DefinitionInvalid, InsufficientFunds."""
        ledger = self.ledger
        debit, credit = self._account(command.debit_account_id), self._account(command.credit_account_id)
        if debit is credit:
            raise DefinitionInvalid("credit_account_id", "must not be the account that pays")
        amount = amount_of(ledger, command.asset, command.amount)
        if debit.status != int(AccountStatus.ACTIVE):
            raise AccountNotActive(debit.account_id)
        available = ledger.available(debit, command.asset)
        if debit.user_id and available < amount:
            scale = ledger.asset(command.asset).scale
            raise InsufficientFunds(command.asset, format_units(available, scale), format_units(amount, scale))
        transfer = Transfer(
            command.request_id,
            debit.account_id,
            credit.account_id,
            command.asset,
            amount,
            0 if command.pending else amount,
            command.kind,
            _PENDING if command.pending else _POSTED,
            command.sequence,
        )
        if command.pending:
            self.pending[transfer.transfer_id] = transfer
            ledger.hold(debit, command.asset, amount)
        else:
            ledger.pay(debit, credit, command.asset, amount, command.kind, transfer.transfer_id)
        self.record.events.append(TransferChanged(transfer))

    def resolve(self, command: c.ResolveTransfer) -> None:
        """Post or void. Raises TransferNotFound, TransferAlreadyPosted, TransferAlreadyVoided, TransferExceedsPending."""
        transfer = self.pending.get(command.transfer_id)
        if transfer is None:
            raise self._unresolvable(command.transfer_id)
        amount = 0
        if not command.void:
            amount = amount_of(self.ledger, transfer.asset, command.amount) if command.amount else transfer.amount
            if amount > transfer.amount:
                raise TransferExceedsPending(transfer.transfer_id)
        debit, credit = self._account(transfer.debit_account_id), self._account(transfer.credit_account_id)
        if amount:
            self.ledger.pay_held(debit, credit, transfer.asset, amount, transfer.kind, transfer.transfer_id)
        if transfer.amount > amount:
            self.ledger.hold(debit, transfer.asset, amount - transfer.amount)
        transfer.posted = amount
        transfer.state = _VOIDED if command.void else _POSTED
        transfer.sequence = command.sequence
        del self.pending[transfer.transfer_id]
        self.resolved[transfer.transfer_id] = transfer
        if len(self.resolved) > RESOLVED_MEMORY:
            del self.resolved[next(iter(self.resolved))]
        self.record.events.append(TransferChanged(transfer))

    def _unresolvable(self, transfer_id: str) -> Exception:
        resolved = self.resolved.get(transfer_id)
        if resolved is None:
            return TransferNotFound(transfer_id)
        return TransferAlreadyVoided(transfer_id) if resolved.state == _VOIDED else TransferAlreadyPosted(transfer_id)
