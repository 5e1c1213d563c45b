"""Transfers: at once, or in two phases (pending, then post or void), after TigerBeetle's semantics.

Between partitions both ledgers have an account that stands for the other one. The source holds the amount for it; the other
partition receives from it, or records that it never will; then the source posts or voids.

The limit is enforced when the hold is taken, so resolving can never break it. A pending transfer resolves once; posting less
than is pending releases the rest. Ids are unique for ever: the machine knows the recent ones (see Exchange.find_request), older
ones are looked up before the command is sequenced.
"""

from typing import Final

from servers.domain import commands as c
from servers.domain.definitions import amount_of, reopen
from servers.domain.errors import (
    AccountNotActive,
    AccountNotFound,
    DefinitionInvalid,
    InsufficientFunds,
    TransferAlreadyPosted,
    TransferAlreadyVoided,
    TransferExceedsPending,
    TransferNotFound,
    VenueError,
)
from servers.domain.events import TransferChanged
from servers.domain.identifiers import VENUE_CONVERSIONS, transit_partition
from servers.domain.ledger import Ledger
from servers.domain.model import Account, Transfer
from servers.domain.money import format_units
from servers.domain.record import Record
from servers.domain.terms import AccountStatus, EntryKind, TransferState
from servers.domain.transfer_errors import AccountsSame, QuoteExpired

# Resolved two-phase transfers that are remembered, so that a second resolution gets its precise error.
RESOLVED_MEMORY: Final = 10_000
_PENDING: Final = int(TransferState.PENDING)
_POSTED: Final = int(TransferState.POSTED)
_VOIDED: Final = int(TransferState.VOIDED)
_CLOSED: Final = int(AccountStatus.CLOSED)
_CONVERSION: Final = int(EntryKind.CONVERSION)


class Transfers:
    """The transfers in two phases: pending ones, and the last that were resolved, oldest resolution first."""

    __slots__ = ("ledger", "onward", "pending", "record", "resolved")

    def __init__(self, ledger: Ledger, record: Record) -> None:
        self.ledger = ledger
        self.record = record
        self.pending: dict[str, Transfer] = {}
        self.resolved: dict[str, Transfer] = {}
        # Those of the pending ones that another partition has to receive.
        self.onward: dict[str, Transfer] = {}

    def add(self, transfer: Transfer) -> None:
        """Take in a stored one of two phases."""
        if transfer.state != _PENDING:
            self.resolved[transfer.transfer_id] = transfer
            return
        self.pending[transfer.transfer_id] = transfer
        if transfer.receiver_account_id:
            self.onward[transfer.transfer_id] = transfer

    def _party(self, account_id: str, user_id: str) -> Account:
        account = self.ledger.party(account_id)
        if user_id and account.user_id != user_id and not transit_partition(account_id):
            raise AccountNotFound(account_id)
        return account

    def make(self, command: c.MakeTransfer) -> None:
        """Move funds, or hold them.

        Raises AccountNotFound, AccountNotActive, AccountsSame, AssetUnknown, AmountInvalid, DefinitionInvalid, InsufficientFunds.

        Where it receives from another partition nothing is raised: the refusal is recorded, and holds for ever.
        """
        try:
            debit, credit, amount = self._decide(command)
        except VenueError:
            if not command.receives:
                raise
            self.record.events.append(TransferChanged(self._transfer(command, 0, 0, _VOIDED)))
            self.record.fold(_VOIDED, 0)
            return
        if not command.pending:
            transfer = self._transfer(command, amount, amount, _POSTED)
            self.ledger.pay(debit, credit, command.asset, amount, command.kind, transfer.transfer_id)
            reopen(self.ledger, credit)
        else:
            transfer = self._transfer(command, amount, 0, _PENDING)
            self.add(transfer)
            self.ledger.hold(debit, command.asset, amount)
        self.record.events.append(TransferChanged(transfer))

    @staticmethod
    def _transfer(command: c.MakeTransfer, amount: int, posted: int, state: int) -> Transfer:
        return Transfer(
            command.request_id,
            command.debit_account_id,
            command.credit_account_id,
            command.asset,
            amount,
            posted,
            command.kind,
            state,
            command.sequence,
            command.receiver_account_id,
        )

    def _decide(self, command: c.MakeTransfer) -> tuple[Account, Account, int]:
        """Who pays, who receives, how much. Raises as make does."""
        ledger = self.ledger
        debit = self._party(command.debit_account_id, command.user_id)
        credit = self._party(command.credit_account_id, command.user_id)
        if command.receiver_account_id and not (command.pending and transit_partition(credit.account_id)):
            raise DefinitionInvalid("receiver_account_id", "is for pending transfers to a transit account")
        if debit is credit:
            raise AccountsSame(debit.account_id)
        amount = amount_of(ledger, command.asset, command.amount)
        if debit.status != int(AccountStatus.ACTIVE):
            raise AccountNotActive(debit.account_id)
        if command.user_id and credit.status == _CLOSED:
            raise AccountNotActive(credit.account_id)
        self._check_funds(debit, command.asset, amount)
        return debit, credit, amount

    def _check_funds(self, debit: Account, asset: str, amount: int) -> None:
        """Raises InsufficientFunds; of the venue's own accounts there is always enough."""
        available = self.ledger.available(debit, asset)
        if debit.user_id and available < amount:
            scale = self.ledger.asset(asset).scale
            raise InsufficientFunds(asset, format_units(available, scale), format_units(amount, scale))

    def convert(self, command: c.Convert) -> None:
        """Exchange with the house what a quote said, both halves or none: the paying one is posted first.

        Raises QuoteExpired, AccountNotFound, AccountNotActive, DefinitionInvalid, AssetUnknown, AmountInvalid, InsufficientFunds.
        """
        ledger = self.ledger
        account = ledger.account(command.account_id, command.user_id)
        if command.time >= command.expire_time:
            raise QuoteExpired
        if command.from_asset == command.to_asset:
            raise DefinitionInvalid("to_asset", "must be another asset")
        paid = amount_of(ledger, command.from_asset, command.from_amount)
        received = amount_of(ledger, command.to_asset, command.to_amount)
        if account.status != int(AccountStatus.ACTIVE):
            raise AccountNotActive(account.account_id)
        self._check_funds(account, command.from_asset, paid)
        house, reference = ledger.accounts[VENUE_CONVERSIONS], command.request_id
        ledger.pay(account, house, command.from_asset, paid, _CONVERSION, reference)
        ledger.pay(house, account, command.to_asset, received, _CONVERSION, reference)

    def resolve(self, command: c.ResolveTransfer) -> None:
        """Post or void.

        Raises TransferNotFound, TransferAlreadyPosted, TransferAlreadyVoided, TransferExceedsPending, AmountInvalid.
        """
        transfer = self.pending.get(command.transfer_id)
        if transfer is None:
            raise self._unresolvable(command.transfer_id)
        amount = 0
        if not command.void:
            amount = amount_of(self.ledger, transfer.asset, command.amount) if command.amount else transfer.amount
            if amount > transfer.amount:
                raise TransferExceedsPending(transfer.transfer_id)
        debit, credit = self.ledger.party(transfer.debit_account_id), self.ledger.party(transfer.credit_account_id)
        if amount:
            self.ledger.pay_held(debit, credit, transfer.asset, amount, transfer.kind, transfer.transfer_id)
            reopen(self.ledger, credit)
        if transfer.amount > amount:
            self.ledger.hold(debit, transfer.asset, amount - transfer.amount)
        transfer.posted = amount
        transfer.state = _VOIDED if command.void else _POSTED
        transfer.sequence = command.sequence
        del self.pending[transfer.transfer_id]
        self.onward.pop(transfer.transfer_id, None)
        self.resolved[transfer.transfer_id] = transfer
        if len(self.resolved) > RESOLVED_MEMORY:
            del self.resolved[next(iter(self.resolved))]
        self.record.events.append(TransferChanged(transfer))

    def _unresolvable(self, transfer_id: str) -> Exception:
        resolved = self.resolved.get(transfer_id)
        if resolved is None:
            return TransferNotFound(transfer_id)
        return TransferAlreadyVoided(transfer_id) if resolved.state == _VOIDED else TransferAlreadyPosted(transfer_id)
