"""Letters about money: each is stored by the transaction that does what it tells of, so a crash neither loses nor doubles one."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from db import outgoing, users, withdrawals
from db.models.deposits import DepositRow, ReversalRow
from db.models.withdrawals import WithdrawalRow
from db.outgoing import Letter
from db.sealing import Sealer
from servers.domain.letters import Template
from servers.funding.messages import text


class Letters:
    """Writes to users by their id."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def write(self, session: AsyncSession, user_id: str, template: Template, values: Mapping[str, str]) -> None:
        """Store a letter in the caller's transaction, unless its user wants none of its kind."""
        address = await users.find_address(session, user_id)
        if address is not None:
            await outgoing.append(session, self._sealer, Letter(address, template, values, user_id))

    async def of_deposit(self, session: AsyncSession, row: DepositRow, template: Template, reason: str = "") -> None:
        """What has become of a deposit."""
        values = {"amount": text(row.amount), "asset": row.asset, "account_id": row.account_id}
        more = {"reference": row.deposit_id, "reason": reason}
        await self.write(session, row.user_id, template, values | more)

    async def of_reversal(
        self, session: AsyncSession, row: ReversalRow, deposit: DepositRow, template: Template
    ) -> None:
        """What was given back of a deposit, is held of it, or is free again."""
        values = {"amount": text(row.amount), "asset": deposit.asset, "account_id": deposit.account_id}
        reason = "they were given back to the payer"
        await self.write(
            session, deposit.user_id, template, values | {"reference": deposit.deposit_id, "reason": reason}
        )

    async def of_withdrawal(self, session: AsyncSession, row: WithdrawalRow, template: Template) -> None:
        """What has become of a withdrawal."""
        end = await withdrawals.number_end(session, row.beneficiary_id)
        values = {"amount": text(row.amount), "asset": row.asset, "account_id": row.account_id}
        more = {"destination": f"the account that ends in {end}", "reason": row.failure, "reference": row.withdrawal_id}
        await self.write(session, row.user_id, template, values | more)
