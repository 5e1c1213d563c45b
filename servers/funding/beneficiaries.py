"""Whom a user withdraws to: sealed, and not good for anything until a time has passed in which its owner can object."""

import json
import uuid
from datetime import timedelta
from hashlib import sha256

from google.protobuf.json_format import MessageToDict
from sqlalchemy.ext.asyncio import AsyncEngine

from db import audit, withdrawals
from db.audit import Action, Entry
from db.models.withdrawals import BeneficiaryRow
from db.sealing import Place, Sealer
from db.transactions import transaction
from db.withdrawals import NewBeneficiary
from servers.domain.errors import RequestIdReused
from servers.domain.letters import Template
from servers.funding.errors import BeneficiaryNotFound
from servers.funding.letters import Letters
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from venue.funding.v1 import withdrawal_pb2 as pb

TABLE, COLUMN = "beneficiaries", "details"


class Beneficiaries:
    """Adds and removes them. `cooling` is how long a new one is not good for anything."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, cooling: timedelta, letters: Letters) -> None:
        self._engine = engine
        self._sealer = sealer
        self._cooling = cooling
        self._letters = letters

    async def create(self, request: pb.CreateBeneficiaryRequest, call: Call) -> tuple[BeneficiaryRow, bool]:
        """The beneficiary, and whether an earlier call had added it. Raises RequestIdReused."""
        beneficiary_id = f"ben-{uuid.uuid4()}"
        plain = pb.CreateBeneficiaryRequest()
        plain.CopyFrom(request)
        plain.ClearField("request_id")
        details = json.dumps(MessageToDict(plain, preserving_proto_field_name=True), sort_keys=True).encode()
        new = NewBeneficiary(
            beneficiary_id=beneficiary_id,
            user_id=call.user_id,
            label=request.label,
            number_end=request.account_number[-4:],
            details=self._sealer.seal(Place(TABLE, COLUMN, beneficiary_id), details),
            request_id=request.request_id.lower(),
            # Of what is sealed nothing may be guessed from its hash: blind, as an index is.
            fingerprint=self._sealer.blind_index(TABLE, COLUMN, sha256(details).hexdigest()),
        )
        async with transaction(self._engine) as session, session.begin():
            row, is_new = await withdrawals.add_beneficiary(session, new, self._cooling)
            if row.fingerprint != new.fingerprint:
                raise RequestIdReused(request.request_id)
            if is_new:
                about = f"beneficiary/{row.beneficiary_id}"
                await audit.append(session, Entry(actor=actor_of(call), action=Action.BENEFICIARY_ADD, object=about))
                when = f"{row.active_time:%Y-%m-%d %H:%M} UTC"
                what = f"Withdrawals to the account that ends in {row.number_end} are possible from {when}."
                values = {
                    "subject": "A beneficiary was added",
                    "text": f"{what}\nIf it was not you, remove it at once.",
                }
                await self._letters.write(session, row.user_id, Template.NOTICE, values)
        return row, not is_new

    async def remove(self, beneficiary_id: str, call: Call) -> None:
        """Raises BeneficiaryNotFound. What was asked for before goes on."""
        async with transaction(self._engine) as session, session.begin():
            if not await withdrawals.remove_beneficiary(session, call.user_id, beneficiary_id.replace("\0", "?")):
                raise BeneficiaryNotFound(beneficiary_id)
            about = f"beneficiary/{beneficiary_id}"
            await audit.append(session, Entry(actor=actor_of(call), action=Action.BENEFICIARY_REMOVE, object=about))


def opened(sealer: Sealer, row: BeneficiaryRow) -> bytes:
    """Its details as JSON. Raises SealBroken."""
    return sealer.open(Place(TABLE, COLUMN, row.beneficiary_id), row.details)
