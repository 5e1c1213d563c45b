"""Balances, holds and double entry. Every change of a balance in the machine is made here.

Invariants: what leaves one account arrives in another; available and held are never below zero, but for the venue's own
accounts; what an account has held is what its open orders and pending transfers hold.
"""

from servers.domain.errors import AccountNotFound
from servers.domain.events import Posted
from servers.domain.identifiers import VENUE_ACCOUNTS, VENUE_FEES, transit_partition
from servers.domain.model import Account, Asset, Balance
from servers.domain.record import Record
from servers.domain.terms import AccountStatus
from servers.domain.transfer_errors import AssetUnknown


class InvariantBreach(Exception):
    """The machine found itself wrong: the partition must stop before the batch is committed."""


class Ledger:
    """Accounts and assets of a partition."""

    __slots__ = ("accounts", "assets", "by_user", "fees", "record")

    def __init__(self, record: Record) -> None:
        self.record = record
        self.assets: dict[str, Asset] = {}
        self.accounts: dict[str, Account] = {name: _own(name) for name in VENUE_ACCOUNTS}
        self.fees = self.accounts[VENUE_FEES]
        # Customers' accounts by user, in the order they were opened.
        self.by_user: dict[str, list[Account]] = {}

    def account(self, account_id: str, user_id: str) -> Account:
        """A customer's account for a user; an empty user is the venue itself. Raises AccountNotFound."""
        account = self.accounts.get(account_id)
        if account is None or not account.user_id or (user_id and account.user_id != user_id):
            raise AccountNotFound(account_id)
        return account

    def party(self, account_id: str) -> Account:
        """Any account that may pay or receive; those of other partitions come into being here. Raises AccountNotFound."""
        account = self.accounts.get(account_id)
        if account is None:
            if not transit_partition(account_id):
                raise AccountNotFound(account_id)
            account = self.accounts[account_id] = _own(account_id)
        return account

    def add(self, account: Account) -> None:
        """Take in a customer's account."""
        self.accounts[account.account_id] = account
        self.by_user.setdefault(account.user_id, []).append(account)

    def asset(self, symbol: str) -> Asset:
        """An asset. Raises AssetUnknown."""
        asset = self.assets.get(symbol)
        if asset is None:
            raise AssetUnknown(symbol)
        return asset

    def balance(self, account: Account, asset: str) -> Balance:
        """The account's balance of an asset, made at its first use."""
        balance = account.balances.get(asset)
        if balance is None:
            balance = account.balances[asset] = Balance(account, asset, 0, 0)
        return balance

    def available(self, account: Account, asset: str) -> int:
        """What is free, in the asset's units; makes nothing."""
        balance = account.balances.get(asset)
        return 0 if balance is None else balance.available

    def hold(self, account: Account, asset: str, amount: int) -> None:
        """Move an amount from available to held (negative: back)."""
        record, balance = self.record, account.balances.get(asset) or self.balance(account, asset)
        balance.available -= amount
        balance.held += amount
        if balance.touched != record.sequence:
            record.balance(balance)
        record.fold(amount, balance.available)
        if (balance.available < 0 and account.user_id) or balance.held < 0:
            raise InvariantBreach(f"hold of {amount} {asset} on {account.account_id}")

    def pay(self, debit: Account, credit: Account, asset: str, amount: int, kind: int, reference: str) -> None:
        """Post an amount above zero from available to available."""
        source = debit.balances.get(asset) or self.balance(debit, asset)
        source.available -= amount
        self._arrive(debit, source, credit, asset, amount, kind, reference)

    def pay_held(self, debit: Account, credit: Account, asset: str, amount: int, kind: int, reference: str) -> None:
        """Post an amount above zero from what is held to available."""
        source = debit.balances.get(asset) or self.balance(debit, asset)
        source.held -= amount
        self._arrive(debit, source, credit, asset, amount, kind, reference)

    def _arrive(
        self, debit: Account, source: Balance, credit: Account, asset: str, amount: int, kind: int, reference: str
    ) -> None:
        target = credit.balances.get(asset) or self.balance(credit, asset)
        target.available += amount
        record = self.record
        record.events.append(Posted(debit, credit, asset, amount, kind, reference))
        sequence = record.sequence
        if source.touched != sequence:
            record.balance(source)
        if target.touched != sequence:
            record.balance(target)
        record.fold(amount, target.available)
        if amount <= 0 or source.held < 0 or (source.available < 0 and debit.user_id):
            raise InvariantBreach(f"posting of {amount} {asset} from {debit.account_id}")


def _own(name: str) -> Account:
    """An account of the venue's own; it may go below zero."""
    return Account(name, "", 0, name, "venue", name, int(AccountStatus.ACTIVE), 0, 0)
