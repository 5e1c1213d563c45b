"""Somebody says who he is: sealed, screened, and put before people."""

import json
import uuid
from datetime import UTC, date, datetime
from hashlib import sha256

from google.protobuf.json_format import MessageToDict, ParseDict
from sqlalchemy.ext.asyncio import AsyncEngine

from db import alerts, audit, kyc
from db.audit import Action, Entry
from db.kyc import NewSubmission
from db.models.kyc import KycSubmissionRow
from db.sealing import Place, Sealer
from db.transactions import transaction
from servers.domain.alerts import Alert, AlertKind
from servers.domain.errors import FieldViolation, RequestIdReused
from servers.funding.errors import KycLevelHeld, KycPending
from servers.funding.screening import REVIEWED, Screener, Subject
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.refusals import InvalidField
from venue.funding.v1 import funding_pb2 as pb
from venue.funding.v1 import kyc_pb2

TABLE, COLUMN = "kyc_submissions", "details"


class Submitting:
    """Takes submissions."""

    def __init__(self, engine: AsyncEngine, sealer: Sealer, screener: Screener) -> None:
        self._engine = engine
        self._sealer = sealer
        self._screener = screener

    async def submit(self, request: pb.SubmitKycRequest, call: Call) -> tuple[KycSubmissionRow, bool]:
        """The submission, and whether an earlier call had made it.

        Raises InvalidField, KycPending, KycLevelHeld, RequestIdReused.
        """
        born = checked(request)
        request_id, mark = request.request_id.lower(), fingerprint(request)
        earlier = await kyc.find_request(self._engine, call.user_id, request_id) if request_id else None
        if earlier is not None:
            if earlier.fingerprint != mark:
                raise RequestIdReused(request.request_id)
            return earlier, True
        held = await kyc.level_of(self._engine, call.user_id)
        if held >= request.level:
            raise KycLevelHeld(
                pb.DESCRIPTOR.pool.FindEnumTypeByName("venue.funding.v1.KycLevel").values_by_number[held].name
            )
        details = request.details
        subject = Subject(name=details.full_name, birth_date=born, country=details.country)
        found = await self._screener.screen(subject, datetime.now(UTC).date())
        submission_id = f"kyc-{uuid.uuid4()}"
        plain = json.dumps(MessageToDict(details), sort_keys=True).encode()
        new = NewSubmission(
            kyc_submission_id=submission_id,
            user_id=call.user_id,
            level=request.level,
            details=self._sealer.seal(Place(TABLE, COLUMN, submission_id), plain),
            risk_score=found.score,
            findings=list(found.findings),
            request_id=request_id,
            fingerprint=mark,
        )
        entry = Entry(
            actor=actor_of(call),
            action=Action.KYC_SUBMIT,
            object=f"kyc/{submission_id}",
            after={"level": request.level, "risk_score": found.score},
        )
        async with transaction(self._engine) as session, session.begin():
            row = await kyc.add(session, new)
            if row is not None:
                await audit.append(session, entry)
                if found.score >= REVIEWED:
                    scored = {"score": found.score, "level": request.level}
                    what = "screening found something"
                    await alerts.put(
                        session, Alert(AlertKind.SCREENING_HIT, f"kyc/{submission_id}", what, call.user_id, scored)
                    )
                return row, False
        # Another call was faster: it was this very one, or another submission waits.
        again = await kyc.find_request(self._engine, call.user_id, request_id) if request_id else None
        if again is None:
            raise KycPending
        if again.fingerprint != mark:
            raise RequestIdReused(request.request_id)
        return again, True


def opened(sealer: Sealer, row: KycSubmissionRow) -> kyc_pb2.KycDetails:
    """What a submission says. Raises SealBroken."""
    plain = sealer.open(Place(TABLE, COLUMN, row.kyc_submission_id), row.details)
    return ParseDict(json.loads(plain), kyc_pb2.KycDetails())


def checked(request: pb.SubmitKycRequest) -> date:
    """The day of birth. Raises InvalidField: no such day, or what the level needs is not there."""
    details = request.details
    wrong = []
    try:
        born = date.fromisoformat(details.birth_date)
    except ValueError:
        born = date.max
    if not date(1900, 1, 1) <= born <= datetime.now(UTC).date():
        wrong.append(FieldViolation("details.birth_date", "is not a day of somebody's birth", "birth_date.day"))
    if request.level == kyc_pb2.KYC_LEVEL_FULL:
        if not details.address.strip():
            wrong.append(FieldViolation("details.address", "is needed for this level", "address.level"))
        if kyc_pb2.KYC_DOCUMENT_TYPE_PROOF_OF_ADDRESS not in {each.type for each in details.documents}:
            what = "lacks one that proves the address"
            wrong.append(FieldViolation("details.documents", what, "documents.level"))
    if wrong:
        raise InvalidField(wrong)
    return born


def fingerprint(request: pb.SubmitKycRequest) -> bytes:
    """Tells one body of a request from another under the same request_id."""
    plain = pb.SubmitKycRequest()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    return sha256(plain.SerializeToString(deterministic=True)).digest()
