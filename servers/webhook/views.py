"""Rows as their users see them."""

from db.models.webhooks import WebhookDeliveryRow, WebhookEndpointRow
from db.webhook_deliveries import PENDING
from servers.webhook.happenings import type_number
from venue.webhook.v1 import webhook_pb2 as pb


def to_endpoint(row: WebhookEndpointRow) -> pb.Endpoint:
    endpoint = pb.Endpoint(
        endpoint_id=row.endpoint_id,
        url=row.url,
        description=row.description,
        event_types=map(type_number, row.event_types),
        account_id=row.account_id or "",
        state=pb.EndpointState.Value(f"ENDPOINT_STATE_{row.state}"),
    )
    endpoint.create_time.FromDatetime(row.create_time)
    endpoint.update_time.FromDatetime(row.update_time)
    return endpoint


def to_delivery(row: WebhookDeliveryRow) -> pb.Delivery:
    delivery = pb.Delivery(
        message_id=row.message_id,
        event_type=type_number(row.event_type),
        account_id=row.account_id,
        sequence=row.sequence,
        state=pb.DeliveryState.Value(f"DELIVERY_STATE_{row.state}"),
        attempts=row.attempts,
        last_status=row.last_status,
        last_error=row.last_error,
        body=row.body,
    )
    delivery.create_time.FromDatetime(row.create_time)
    if row.state == PENDING:
        delivery.next_attempt_time.FromDatetime(row.next_time)
    if row.last_time is not None:
        delivery.last_attempt_time.FromDatetime(row.last_time)
    return delivery
