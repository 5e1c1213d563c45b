"""What the webhook room refuses."""

from servers.domain.errors import FieldViolation, Invalid, NotFound, Refused


class WebhookEndpointNotFound(NotFound):
    """No such endpoint, or somebody else's."""

    reason = "WEBHOOK_ENDPOINT_NOT_FOUND"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__("webhook endpoint not found", endpoint_id=endpoint_id)


class WebhookUrlRefused(Invalid):
    """An address that nothing is posted to, and why."""

    reason = "WEBHOOK_URL_REFUSED"

    def __init__(self, why: str) -> None:
        super().__init__(f"the url {why}", FieldViolation("url", why, self.reason))


class TooManyWebhookEndpoints(Refused):
    """The user has all the endpoints that one may have."""

    reason = "TOO_MANY_WEBHOOK_ENDPOINTS"

    def __init__(self, endpoints_max: int) -> None:
        super().__init__(f"a user may have at most {endpoints_max} endpoints", endpoints_max=str(endpoints_max))


class WebhookEndpointDisabled(Refused):
    """Nothing is sent to it."""

    reason = "WEBHOOK_ENDPOINT_DISABLED"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__("the webhook endpoint is disabled: enable it first", endpoint_id=endpoint_id)


class WebhookDeliveryNotFound(NotFound):
    """No such message was made for the endpoint, or it is not kept any more."""

    reason = "WEBHOOK_DELIVERY_NOT_FOUND"

    def __init__(self, message_id: str) -> None:
        super().__init__("webhook delivery not found", message_id=message_id)
