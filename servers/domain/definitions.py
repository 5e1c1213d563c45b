"""What a partition is made of: assets, markets, fee rates, accounts."""

from collections.abc import Iterable
from typing import Final

from servers.domain import commands as c
from servers.domain.errors import AccountNotActive, AccountNotFound, DefinitionExists, DefinitionInvalid, MarketNotFound
from servers.domain.events import AccountChanged, AssetDefined, FeesChanged, MarketChanged
from servers.domain.identifiers import VENUE_PAPER
from servers.domain.ledger import Ledger
from servers.domain.lifecycle import check_settable
from servers.domain.limits import limits_of
from servers.domain.model import Account, Asset, Fees, Market
from servers.domain.money import ATTO, ATTO_SCALE, RATE, rescale
from servers.domain.placing import Floor
from servers.domain.positions import DAY_US, begin_day
from servers.domain.terms import AccountStatus, EntryKind, MarketKind, MarketState, TriggerSource
from servers.domain.transfer_errors import AccountNotEmpty, AmountInvalid

_MARK: Final = int(TriggerSource.MARK)
_INDEX: Final = int(TriggerSource.INDEX)


def define_asset(ledger: Ledger, command: c.DefineAsset) -> None:
    """Raises DefinitionExists, DefinitionInvalid."""
    if command.symbol in ledger.assets:
        raise DefinitionExists(command.symbol)
    check_scales(command.scale, command.display_scale)
    asset = ledger.assets[command.symbol] = Asset(command.symbol, command.scale, command.display_scale)
    ledger.record.events.append(AssetDefined(asset))
    ledger.record.fold(command.scale, command.display_scale)


def check_scales(scale: int, display_scale: int) -> None:
    """Raises DefinitionInvalid."""
    if not 0 <= display_scale <= scale <= ATTO_SCALE:
        raise DefinitionInvalid("scale", "must be 0 to 18, and display_scale at most scale")


def define_market(floor: Floor, command: c.DefineMarket) -> None:
    """Raises DefinitionExists, AssetUnknown, DefinitionInvalid."""
    if command.symbol in floor.markets:
        raise DefinitionExists(command.symbol)
    check_settable(command.state)
    base, quote = floor.ledger.asset(command.base_asset), floor.ledger.asset(command.quote_asset)
    market = market_from(command, base, quote)
    floor.add_market(market)
    if market.state == int(MarketState.PRE_OPEN):
        floor.collecting[market.symbol] = market
    floor.record.events.append(MarketChanged(market))
    set_fees(floor, market, "default", command.maker_rate, command.taker_rate)


def market_from(command: c.DefineMarket, base: Asset, quote: Asset) -> Market:
    """The market of a definition. Raises DefinitionInvalid: above all, tick x lot must be a whole number of quote units."""
    if command.tick_size <= 0 or command.lot_size <= 0:
        raise DefinitionInvalid("tick_size", "and lot_size must be greater than zero")
    lot_units = rescale(command.lot_size, base.scale)
    if lot_units is None:
        raise DefinitionInvalid("lot_size", "must be a whole number of base units")
    tick_value, rest = divmod(command.tick_size * command.lot_size * 10**quote.scale, ATTO * ATTO)
    if rest:
        raise DefinitionInvalid("tick_size", "times lot_size must be a whole number of quote units")
    check_rates(command.maker_rate, command.taker_rate)
    market = Market(
        command.symbol,
        command.kind,
        command.state,
        base.symbol,
        quote.symbol,
        command.tick_size,
        command.lot_size,
        max(command.min_quantity // command.lot_size, 1),
        command.max_quantity // command.lot_size,
        command.max_price // command.tick_size,
        0,
        0,
        0,
        0,
        lot_units,
        tick_value,
        base.scale,
        quote.scale,
    )
    if market.max_lots < market.min_lots or market.max_ticks < 1:
        raise DefinitionInvalid("max_quantity", "and max_price must leave room for an order")
    return market


def set_references(floor: Floor, market: Market, command: c.SetReferencePrices) -> None:
    """Set the prices that come from outside, and look at what waits for them. Raises DefinitionInvalid."""
    if command.stale_index_time:
        _withdraw_index(floor, market, command)
        return
    mark_price, index_price = command.mark_price, command.index_price
    if min(mark_price, index_price) < 0 or not mark_price + index_price:
        raise DefinitionInvalid("mark_price", "or index_price is required, and both must be greater than zero")
    day = command.time // DAY_US
    if market.day != day:
        begin_day(market, day)
    market.mark_price = mark_price or market.mark_price
    if index_price:
        market.index_price, market.index_time = index_price, command.time
    market.moves.add(market)
    floor.record.events.append(MarketChanged(market))
    floor.record.fold(mark_price, index_price)
    # A market that has no mark price of its own is marked by its index.
    marked_by = mark_price or (0 if market.mark_price else index_price)
    for source, price in ((_MARK, marked_by), (_INDEX, index_price)):
        floor.triggers.observe(market, source, price)


def _withdraw_index(floor: Floor, market: Market, command: c.SetReferencePrices) -> None:
    """Nobody says any more what the index is: bands go by the next best reference, and what waits for the index waits."""
    if command.mark_price or command.index_price:
        raise DefinitionInvalid("stale_index_time", "takes an index price back; it goes with no other price")
    if not market.index_price or market.index_time != command.stale_index_time:
        raise DefinitionInvalid("stale_index_time", "is not when the index price was set")
    market.index_price = market.index_time = 0
    floor.record.events.append(MarketChanged(market))
    floor.record.fold(0, command.stale_index_time)


def set_fees(floor: Floor, market: Market, tier: str, maker_rate: int, taker_rate: int) -> None:
    """Rates hold for orders accepted from now on. Raises DefinitionInvalid."""
    check_rates(maker_rate, taker_rate)
    others = (fees for (symbol, other), fees in floor.fees.items() if symbol == market.symbol and other != tier)
    check_covered(maker_rate, taker_rate, others)
    fees = floor.fees[market.symbol, tier] = Fees(market.symbol, tier, maker_rate, taker_rate)
    floor.record.events.append(FeesChanged(fees))
    floor.record.fold(maker_rate, taker_rate)


def set_limits(floor: Floor, command: c.SetLimits) -> None:
    """Limits hold for orders placed or changed from now on. Raises AccountNotFound, MarketNotFound, DefinitionInvalid."""
    limits = limits_of(command)
    if limits.account_id:
        floor.ledger.account(limits.account_id, "")
    if limits.symbol and limits.symbol not in floor.markets:
        raise MarketNotFound(limits.symbol)
    floor.limits.set(limits)


def check_rates(maker_rate: int, taker_rate: int) -> None:
    """Raises DefinitionInvalid."""
    # A rebate is never more than the taker pays: the venue does not pay people to trade.
    if not (abs(maker_rate) < RATE and 0 <= taker_rate < RATE and maker_rate + taker_rate >= 0):
        raise DefinitionInvalid("taker_fee_rate", "must be 0 to 1, and cover the maker's rebate")


def check_covered(maker_rate: int, taker_rate: int, others: Iterable[Fees]) -> None:
    """Whoever meets whom, the taker pays for the maker's rebate. Raises DefinitionInvalid."""
    for fees in others:
        if min(maker_rate + fees.taker_rate, fees.maker_rate + taker_rate) < 0:
            raise DefinitionInvalid(
                "maker_fee_rate", f"and the taker's of tier {fees.tier} must cover each other's rebate"
            )


def open_account(ledger: Ledger, command: c.OpenAccount) -> None:
    """Opens an account and pays in its opening funds. Raises DefinitionExists, DefinitionInvalid, AssetUnknown, AmountInvalid."""
    if command.account_id in ledger.accounts:
        raise DefinitionExists(command.account_id)
    if not command.user_id:
        raise DefinitionInvalid("user_id", "an account belongs to a user")
    opening = [(asset, amount_of(ledger, asset, atto)) for asset, atto in command.opening]
    account = Account(
        command.account_id,
        command.user_id,
        command.type,
        command.name,
        command.tier or "default",
        command.self_trade_group or command.account_id,
        int(AccountStatus.ACTIVE),
        command.time,
        0,
    )
    ledger.add(account)
    ledger.record.events.append(AccountChanged(account))
    ledger.record.fold(account.type, len(opening))
    paper = ledger.accounts[VENUE_PAPER]
    for asset, amount in opening:
        ledger.pay(paper, account, asset, amount, int(EntryKind.PAPER), account.account_id)


def amount_of(ledger: Ledger, asset: str, atto: int) -> int:
    """An amount above zero in the asset's units. Raises AssetUnknown, AmountInvalid: zero, or finer than the asset."""
    units = rescale(atto, ledger.asset(asset).scale)
    if units is None or units <= 0:
        raise AmountInvalid
    return units


def set_status(ledger: Ledger, command: c.SetAccountStatus) -> None:
    """Raises AccountNotFound."""
    account = ledger.accounts.get(command.account_id)
    if account is None or not account.user_id:
        raise AccountNotFound(command.account_id)
    if account.status != int(AccountStatus.CLOSED):
        # A closed one stays closed: it is opened by what the venue pays into it.
        account.status = command.status
    ledger.record.events.append(AccountChanged(account))
    ledger.record.fold(command.status, 0)


def tiers(floor: Floor) -> set[str]:
    """The tiers that there are: that of everybody, and those that rates or limits were set for."""
    return {"default", *(tier for _, tier in floor.fees), *(tier for _, tier, _ in floor.limits.rows if tier)}


def set_terms(floor: Floor, command: c.SetAccountTerms) -> None:
    """What holds for orders from now on; those that rest keep their rates. Raises AccountNotFound, DefinitionInvalid."""
    ledger, group = floor.ledger, command.self_trade_group
    account = ledger.accounts.get(command.account_id)
    if account is None or not account.user_id:
        raise AccountNotFound(command.account_id)
    if not (command.tier or group):
        raise DefinitionInvalid("tier", "or self_trade_group is required")
    if command.tier and command.tier not in tiers(floor):
        raise DefinitionInvalid("tier", "is none that rates or limits were set for")
    if group != account.account_id and group in ledger.accounts:
        raise DefinitionInvalid("self_trade_group", "is the id of another account")
    if command.previous_tier not in {"", account.tier}:
        raise DefinitionInvalid("tier", "was changed meanwhile")
    if command.previous_self_trade_group not in {"", account.self_trade_group}:
        raise DefinitionInvalid("self_trade_group", "was changed meanwhile")
    account.tier = command.tier or account.tier
    account.self_trade_group = command.self_trade_group or account.self_trade_group
    for position in account.positions.values():
        # The limits are those of another tier.
        position.bounds = None
    ledger.record.events.append(AccountChanged(account))
    ledger.record.fold(len(account.tier), len(account.self_trade_group))


def rename_account(ledger: Ledger, account: Account, name: str) -> None:
    account.name = name
    ledger.record.events.append(AccountChanged(account))
    ledger.record.fold(len(name), 0)


def close_account(ledger: Ledger, account: Account) -> None:
    """Raises AccountNotActive, AccountNotEmpty: a balance, an open order, or a position that is worth something by itself."""
    if account.status != int(AccountStatus.ACTIVE):
        raise AccountNotActive(account.account_id)
    if account.orders:
        raise AccountNotEmpty(account.account_id, "open orders")
    for asset, balance in sorted(account.balances.items()):
        if balance.available or balance.held:
            raise AccountNotEmpty(account.account_id, f"a balance of {asset}")
    for symbol, position in sorted(account.positions.items()):
        if position.lots and position.market.kind == int(MarketKind.PERPETUAL):
            raise AccountNotEmpty(account.account_id, f"a position in {symbol}")
    account.status = int(AccountStatus.CLOSED)
    ledger.record.events.append(AccountChanged(account))
    ledger.record.fold(account.status, 0)


def reopen(ledger: Ledger, account: Account) -> None:
    """What the venue pays into a closed account (a deposit that was under way) opens it again: nothing is ever out of reach."""
    if account.status == int(AccountStatus.CLOSED):
        account.status = int(AccountStatus.ACTIVE)
        ledger.record.events.append(AccountChanged(account))
        ledger.record.fold(account.status, 0)
