"""`venue account`: shows what an account's orders come under, and changes it (ADM-3): its tier and its self-trade group."""

from typing import Annotated, Final

import typer

from db.audit import Action
from servers.admin.executors import account_of, terms
from servers.admin.operating import EnvironmentName, Place, console, engines, refusal, run, submit
from servers.domain.errors import AccountNotFound
from servers.domain.identifiers import account_environment, account_partition
from servers.engine.remote import RemoteEngine
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2 as pb

app = typer.Typer(help="Show and change what an account's orders come under.", no_args_is_help=True)
LENGTH_MAX: Final = 64

AccountId = Annotated[str, typer.Argument(help="The account's id, as demo-0199...")]


@app.command()
def show(context: typer.Context, account_id: AccountId) -> None:
    """Show an account's tier and self-trade group."""
    place = place_of(context, account_id)

    async def shown() -> None:
        async with engines(place) as partitions:
            tell((await _home(partitions, account_id))[1])

    run(shown())


@app.command("terms")
def set_terms(
    context: typer.Context,
    account_id: AccountId,
    tier: Annotated[
        str, typer.Option(help="Fees, limits and order rates of this tier; `default` is everybody's.")
    ] = "",
    group: Annotated[str, typer.Option(help="Accounts of one group do not trade with each other.")] = "",
) -> None:
    """Put an account into another tier or self-trade group, for orders that are accepted from now on."""
    for text in (tier, group):
        if len(text) > LENGTH_MAX or not all(
            letter.isascii() and (letter.isalnum() or letter in "._:-") for letter in text
        ):
            raise refusal(f"{text}: may hold letters, digits and . _ : - only, {LENGTH_MAX} of them at most")
    place = place_of(context, account_id)

    async def changed() -> None:
        async with engines(place) as partitions:
            engine, account = await _home(partitions, account_id)
            body = pb.SetAccountTerms(account_id=account_id, tier=tier, self_trade_group=group)
            command = pb.Command(set_account_terms=body)
            asked = {"tier": tier or account.tier, "self_trade_group": group or account.self_trade_group}
            object_ = f"account/{account_id}"
            await submit(place, engine, command, Action.ACCOUNT_TERMS_SET, object_, asked, terms(account))
            tell(await account_of(engine, account_id))

    run(changed())


def place_of(context: typer.Context, account_id: str) -> Place:
    """The world that an account's id names. Raises Exit."""
    if not account_environment(account_id):
        raise refusal(f"{account_id}: no id of an account")
    return Place(context.obj, EnvironmentName(account_environment(account_id).name.lower()))


async def _home(partitions: list[RemoteEngine], account_id: str) -> tuple[RemoteEngine, account_pb2.Account]:
    """The partition that has an account, and the account. Raises AccountNotFound."""
    named = account_partition(account_id)
    for engine in sorted(partitions, key=lambda engine: engine.partition != named):
        try:
            return engine, await account_of(engine, account_id)
        except AccountNotFound:
            continue
    raise AccountNotFound(account_id)


def tell(account: account_pb2.Account) -> None:
    """Show in a line what an account's orders come under."""
    status = account_pb2.AccountStatus.Name(account.status).removeprefix("ACCOUNT_STATUS_").lower()
    told = f"{account.account_id} ({account.name}), {status}: tier {account.tier}, self-trade group {account.self_trade_group}"
    console.print(told, soft_wrap=True, highlight=False, markup=False)
