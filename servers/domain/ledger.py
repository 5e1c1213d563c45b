"""Balances, holds and double entry. Every change of a balance in the machine is made here.

Invariants: what leaves one account arrives in another; available and held are never below zero, but for the venue's own
accounts; what an account has held is what its open orders and pending transfers hold.
"""

from typing import Final

from servers.domain.errors import AccountNotFound
from servers.domain.events import Posted
from servers.domain.identifiers import VENUE_ACCOUNTS, VENUE_FEES, transit_partition
from servers.domain.model import Account, Asset, Balance, Market
from servers.domain.record import Record
from servers.domain.terms import AccountStatus, EntryKind
from servers.domain.transfer_errors import AssetUnknown

_TRADE: Final = int(EntryKind.TRADE)
_FEE: Final = int(EntryKind.FEE)


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

    def trade(
        self,
        buyer: Account,
        seller: Account,
        market: Market,
        base: int,
        quote: int,
        fees: tuple[int, int],
        reference: str,
    ) -> None:
        """Post a trade out of what both hold, and the fees of buyer and seller (below zero: rebates): two to four entries.

        Nearly all postings are of trades, so each balance is looked up once for them all.
        """
        record, asset = self.record, market.quote_asset
        paid, delivered = buyer.balances[asset], seller.balances[market.base_asset]
        bought = buyer.balances.get(market.base_asset) or self.balance(buyer, market.base_asset)
        earned = seller.balances.get(asset) or self.balance(seller, asset)
        delivered.held -= base
        bought.available += base
        paid.held -= quote
        earned.available += quote
        post, sequence = record.events.append, record.sequence
        post(Posted(seller, buyer, market.base_asset, base, _TRADE, reference))
        post(Posted(buyer, seller, asset, quote, _TRADE, reference))
        buyer_fee, seller_fee = fees
        if buyer_fee or seller_fee:
            house = self.fees
            kept = house.balances.get(asset) or self.balance(house, asset)
            kept.available += buyer_fee + seller_fee
            if buyer_fee > 0:
                paid.held -= buyer_fee
                post(Posted(buyer, house, asset, buyer_fee, _FEE, reference))
            elif buyer_fee:
                paid.available -= buyer_fee
                post(Posted(house, buyer, asset, -buyer_fee, _FEE, reference))
            if seller_fee > 0:
                earned.available -= seller_fee
                post(Posted(seller, house, asset, seller_fee, _FEE, reference))
            elif seller_fee:
                earned.available -= seller_fee
                post(Posted(house, seller, asset, -seller_fee, _FEE, reference))
            if kept.touched != sequence:
                record.balance(kept)
            record.fold(buyer_fee - seller_fee, kept.available)
        if delivered.touched != sequence:
            record.balance(delivered)
        if bought.touched != sequence:
            record.balance(bought)
        if paid.touched != sequence:
            record.balance(paid)
        if earned.touched != sequence:
            record.balance(earned)
        record.fold(bought.available, earned.available)
        record.fold(delivered.held, paid.held)
        if base <= 0 or quote <= 0 or delivered.held < 0 or paid.held < 0 or earned.available < 0:
            raise InvariantBreach(f"trade {reference} of {base} {market.base_asset} for {quote} {asset}")

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
