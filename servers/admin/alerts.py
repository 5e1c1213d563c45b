"""Alerts: listed, acknowledged by who looks at them, and closed by who has dealt with them."""

from datetime import datetime

from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import alerts, audit
from db.alerts import ACKNOWLEDGED, CLOSED, OPEN, AlertSearch
from db.audit import Action, Actor, Entry
from db.models.alerts import AlertRow
from db.transactions import transaction
from servers.admin.errors import AlertClosed, AlertNotFound, OwnAlert
from servers.transport.paging import PageTokens, page_size
from venue.admin.v1 import alert_pb2 as pb


class AlertDesk:
    """The desk of alerts."""

    def __init__(self, engine: AsyncEngine, page_tokens: PageTokens) -> None:
        self._engine = engine
        self._page_tokens = page_tokens

    async def search(self, request: pb.ListAlertsRequest, caller: str) -> pb.ListAlertsResponse:
        """Raises PageTokenInvalid."""
        wanted = AlertSearch(
            state=pb.AlertState.Name(request.state).removeprefix("ALERT_STATE_") if request.state else "",
            kind=pb.AlertKind.Name(request.kind).removeprefix("ALERT_KIND_") if request.kind else "",
            severity=pb.AlertSeverity.Name(request.severity).removeprefix("ALERT_SEVERITY_")
            if request.severity
            else "",
            subject=request.subject.replace("\0", "?"),
            user_id=request.user_id.replace("\0", "?"),
        )
        scope, size = ("alerts", caller, wanted), page_size(request.page_size)
        cursor = self._page_tokens.read(scope, request.page_token)
        before = (datetime.fromisoformat(str(cursor[0])), str(cursor[1])) if cursor else None
        found = await alerts.search(self._engine, wanted, before=before, limit=size + 1)
        token = ""
        if len(found) > size:
            last = found[size - 1]
            token = self._page_tokens.issue(scope, [last.create_time.isoformat(), last.alert_id])
        return pb.ListAlertsResponse(alerts=map(alert_message, found[:size]), next_page_token=token)

    async def acknowledge(self, request: pb.AcknowledgeAlertRequest, actor: Actor) -> pb.AcknowledgeAlertResponse:
        """Say who looks at it; the first one stays. Raises AlertNotFound, AlertClosed, OwnAlert."""
        async with transaction(self._engine) as session, session.begin():
            row = await self._mine(session, request.alert_id, actor)
            if row.state == OPEN:
                await alerts.change(session, row, state=ACKNOWLEDGED, acknowledger=actor.name)
                await audit.append(session, entry_of(row, actor, Action.ALERT_ACKNOWLEDGE, OPEN))
            return pb.AcknowledgeAlertResponse(alert=alert_message(row))

    async def close(self, request: pb.CloseAlertRequest, actor: Actor) -> pb.CloseAlertResponse:
        """It was dealt with. Raises AlertNotFound, AlertClosed, OwnAlert."""
        async with transaction(self._engine) as session, session.begin():
            row = await self._mine(session, request.alert_id, actor)
            before = row.state
            await alerts.change(session, row, state=CLOSED, closer=actor.name, note=request.note.replace("\0", "?"))
            await audit.append(session, entry_of(row, actor, Action.ALERT_CLOSE, before))
            return pb.CloseAlertResponse(alert=alert_message(row))

    @staticmethod
    async def _mine(session: AsyncSession, alert_id: str, actor: Actor) -> AlertRow:
        """One that somebody may do something about. Raises AlertNotFound, AlertClosed, OwnAlert."""
        row = await alerts.lock(session, alert_id.replace("\0", "?"))
        if row is None:
            raise AlertNotFound(alert_id)
        if row.user_id == actor.name:
            raise OwnAlert
        if row.state == CLOSED:
            raise AlertClosed(alert_id)
        return row


def entry_of(row: AlertRow, actor: Actor, action: Action, before: str) -> Entry:
    after = {"state": row.state, "kind": row.kind, "subject": row.subject, "note": row.note}
    return Entry(actor=actor, action=action, object=f"alert/{row.alert_id}", before={"state": before}, after=after)


def alert_message(row: AlertRow) -> pb.Alert:
    details = Struct()
    details.update(row.details)
    return pb.Alert(
        alert_id=row.alert_id,
        kind=pb.AlertKind.Value(f"ALERT_KIND_{row.kind}"),
        severity=pb.AlertSeverity.Value(f"ALERT_SEVERITY_{row.severity}"),
        subject=row.subject,
        user_id=row.user_id,
        message=row.message,
        details=details,
        state=pb.AlertState.Value(f"ALERT_STATE_{row.state}"),
        raised_count=row.raised,
        acknowledger=row.acknowledger or "",
        closer=row.closer or "",
        note=row.note,
        create_time=stamp(row.create_time),
        update_time=stamp(row.update_time),
    )


def stamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message
