"""What was delivered is listed, and delivered again where its user asks for it."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from db import webhook_deliveries
from db.models.webhooks import WebhookDeliveryRow, WebhookEndpointRow
from db.webhook_endpoints import ENABLED
from servers.domain.errors import AccountNotFound
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from servers.webhook.endpoints import Endpoints, Owned, after_row, micros
from servers.webhook.errors import WebhookDeliveryNotFound, WebhookEndpointDisabled
from servers.webhook.happenings import body_of
from venue.webhook.v1 import webhook_pb2 as pb


class Deliveries:
    def __init__(self, engine: AsyncEngine, endpoints: Endpoints, owned: Owned, tokens: PageTokens) -> None:
        self._engine, self._endpoints, self._owned, self._tokens = engine, endpoints, owned, tokens

    async def list(self, request: pb.ListDeliveriesRequest, call: Call) -> tuple[Sequence[WebhookDeliveryRow], str]:
        """A page of an endpoint's messages, newest first, and the token of the next one.

        Raises WebhookEndpointNotFound, PageTokenInvalid.
        """
        endpoint_id, state = (
            (await self._endpoints.get(request.endpoint_id, call)).endpoint_id,
            state_text(request.state),
        )
        scope = ("webhook_deliveries", call.user_id, endpoint_id, state)
        before = after_row(self._tokens.read(scope, request.page_token))
        size = page_size(request.page_size)
        rows = await webhook_deliveries.list_deliveries(
            self._engine, endpoint_id, state=state, before=before, limit=size + 1
        )
        if len(rows) <= size:
            return rows, ""
        last = rows[size - 1]
        return rows[:size], self._tokens.issue(scope, [micros(last.create_time), last.message_id])

    async def redeliver(self, request: pb.RedeliverRequest, call: Call) -> None:
        """Raises WebhookEndpointNotFound, WebhookEndpointDisabled, WebhookDeliveryNotFound, AccountNotFound."""
        row = await self._enabled(request.endpoint_id, call)
        if request.WhichOneof("what") == "message_id":
            if not await webhook_deliveries.redeliver_message(self._engine, row.endpoint_id, request.message_id):
                raise WebhookDeliveryNotFound(request.message_id)
            return
        account_id = request.after.account_id
        partition = await self._owned(account_id, call)
        if row.account_id is not None and row.account_id != account_id:
            raise AccountNotFound(account_id)
        await webhook_deliveries.redeliver_after(
            self._engine, row.endpoint_id, partition, account_id, request.after.sequence
        )

    async def send_test(self, endpoint_id: str, call: Call) -> str:
        """The id of the message. Raises WebhookEndpointNotFound, WebhookEndpointDisabled."""
        row = await self._enabled(endpoint_id, call)
        message_id = f"msg_test-{uuid.uuid4()}"
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        await webhook_deliveries.add_test(
            self._engine, row.endpoint_id, message_id, body_of("test", now, {"endpointId": row.endpoint_id})
        )
        return message_id

    async def _enabled(self, endpoint_id: str, call: Call) -> WebhookEndpointRow:
        row = await self._endpoints.get(endpoint_id, call)
        if row.state != ENABLED:
            raise WebhookEndpointDisabled(endpoint_id)
        return row


def state_text(state: int) -> str:
    """As the tables have it; empty: any."""
    return pb.DeliveryState.Name(state).removeprefix("DELIVERY_STATE_") if state else ""  # type: ignore[arg-type]
