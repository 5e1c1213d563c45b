"""Endpoints are made, changed, given new secrets, and removed by their users."""

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from db import webhook_endpoints
from db.audit import Action, Entry
from db.models.webhooks import WebhookEndpointRow
from db.sealing import Sealer
from db.webhook_endpoints import Audited, NewEndpoint, NewSecret, secret_place
from servers.domain.errors import RequestIdReused
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from servers.webhook.addresses import Guard
from servers.webhook.errors import TooManyWebhookEndpoints, WebhookEndpointNotFound
from servers.webhook.happenings import type_name
from servers.webhook.signing import new_secret
from venue.webhook.v1 import webhook_pb2 as pb

ENDPOINTS_MAX: Final = 20
OVERLAP: Final = timedelta(days=1)
STATES: Final = {
    pb.ENDPOINT_STATE_ENABLED: webhook_endpoints.ENABLED,
    pb.ENDPOINT_STATE_DISABLED: webhook_endpoints.DISABLED,
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

Owned = Callable[[str, Call], Awaitable[int]]
"""The partition of the caller's account. Raises AccountNotFound where it is not the caller's."""


def after_row(cursor: Sequence[int | str] | None) -> tuple[datetime, str] | None:
    """Where a page begins: behind the row of a cursor."""
    return None if cursor is None else (_EPOCH + int(cursor[0]) * _MICROSECOND, str(cursor[1]))


def micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


class Endpoints:
    def __init__(self, engine: AsyncEngine, sealer: Sealer, guard: Guard, owned: Owned, tokens: PageTokens) -> None:
        self._engine, self._sealer, self._guard = engine, sealer, guard
        self._owned, self._tokens = owned, tokens

    async def create(self, request: pb.CreateEndpointRequest, call: Call) -> tuple[WebhookEndpointRow, str, bool]:
        """The endpoint, the secret that holds, and whether an earlier call made it.

        Raises WebhookUrlRefused, AccountNotFound, TooManyWebhookEndpoints, RequestIdReused.
        """
        self._guard.check_url(request.url)
        if request.account_id:
            await self._owned(request.account_id, call)
        secret = new_secret()
        new = NewEndpoint(
            endpoint_id=f"whe-{uuid.uuid4()}",
            user_id=call.user_id,
            account_id=request.account_id or None,
            url=request.url,
            description=request.description,
            event_types=[type_name(each) for each in sorted(request.event_types)],
            request_id=request.request_id.lower(),
            fingerprint=fingerprint(request),
        )
        after = {"url": new.url, "event_types": list(new.event_types), "account_id": request.account_id}
        entry = Entry(
            actor=actor_of(call), action=Action.WEBHOOK_CREATE, object=f"webhook/{new.endpoint_id}", after=after
        )
        made = await webhook_endpoints.add_endpoint(
            self._engine, new, self._sealed(secret), endpoints_max=ENDPOINTS_MAX, entry=entry
        )
        if made is None:
            raise TooManyWebhookEndpoints(ENDPOINTS_MAX)
        row, is_new = made
        if is_new:
            return row, secret, False
        if row.fingerprint != new.fingerprint:
            raise RequestIdReused(request.request_id)
        current = await webhook_endpoints.current_secret(self._engine, row.endpoint_id)
        return row, self._sealer.open(secret_place(current.secret_id), current.secret).decode(), True

    async def list(self, request: pb.ListEndpointsRequest, call: Call) -> tuple[Sequence[WebhookEndpointRow], str]:
        """A page of the caller's endpoints, newest first, and the token of the next one. Raises PageTokenInvalid."""
        scope = ("webhook_endpoints", call.user_id)
        before = after_row(self._tokens.read(scope, request.page_token))
        size = page_size(request.page_size)
        rows = await webhook_endpoints.list_endpoints(self._engine, call.user_id, before=before, limit=size + 1)
        if len(rows) <= size:
            return rows, ""
        last = rows[size - 1]
        return rows[:size], self._tokens.issue(scope, [micros(last.create_time), last.endpoint_id])

    async def get(self, endpoint_id: str, call: Call) -> WebhookEndpointRow:
        """Raises WebhookEndpointNotFound."""
        row = await webhook_endpoints.find_endpoint(self._engine, call.user_id, endpoint_id)
        if row is None:
            raise WebhookEndpointNotFound(endpoint_id)
        return row

    async def update(self, request: pb.UpdateEndpointRequest, call: Call) -> WebhookEndpointRow:
        """Raises WebhookEndpointNotFound, WebhookUrlRefused."""
        before = await self.get(request.endpoint_id, call)
        values: dict[str, Any] = {}
        if request.url:
            self._guard.check_url(request.url)
            values["url"] = request.url
        if request.HasField("description"):
            values["description"] = request.description.value
        if request.event_types:
            values["event_types"] = [type_name(each) for each in sorted(request.event_types)]
        if request.state:
            values["state"] = STATES[request.state]
        told = {name: getattr(before, name) for name in values}
        audited = audited_as(call, Action.WEBHOOK_UPDATE, before=told, after=dict(values))
        row = await webhook_endpoints.change_endpoint(self._engine, call.user_id, request.endpoint_id, values, audited)
        if row is None:
            raise WebhookEndpointNotFound(request.endpoint_id)
        return row

    async def delete(self, endpoint_id: str, call: Call) -> None:
        """Raises WebhookEndpointNotFound."""
        audited = audited_as(call, Action.WEBHOOK_DELETE)
        if "\0" in endpoint_id or not await webhook_endpoints.delete_endpoint(
            self._engine, call.user_id, endpoint_id, audited
        ):
            raise WebhookEndpointNotFound(endpoint_id)

    async def rotate_secret(self, request: pb.RotateSecretRequest, call: Call) -> tuple[str, datetime]:
        """The new secret, and when those before it end. Raises WebhookEndpointNotFound."""
        secret = new_secret()
        overlap = request.overlap.ToTimedelta() if request.HasField("overlap") else OVERLAP
        audited = audited_as(call, Action.WEBHOOK_SECRET_ROTATE, after={"overlap_s": overlap.total_seconds()})
        end = None
        if "\0" not in request.endpoint_id:
            end = await webhook_endpoints.rotate_secret(
                self._engine, call.user_id, request.endpoint_id, self._sealed(secret), overlap, audited
            )
        if end is None:
            raise WebhookEndpointNotFound(request.endpoint_id)
        return secret, end

    def _sealed(self, secret: str) -> NewSecret:
        secret_id = f"whs-{uuid.uuid4()}"
        return NewSecret(secret_id, self._sealer.seal(secret_place(secret_id), secret.encode()))


def fingerprint(request: pb.CreateEndpointRequest) -> bytes:
    """What tells one body from another."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).digest()


def audited_as(call: Call, action: Action, **changed: Any) -> Audited:  # noqa: ANN401  columns of any type
    """The entry for what a call does to an endpoint."""

    def entry(row: WebhookEndpointRow) -> Entry:
        return Entry(actor=actor_of(call), action=action, object=f"webhook/{row.endpoint_id}", **changed)

    return entry
