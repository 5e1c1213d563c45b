"""Endpoints as their users make, change and remove them."""

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import StringValue
from standardwebhooks import WebhookVerificationError

from tests.integration.webhook.conftest import BALANCE, FILLED, Hooks, eventually
from venue.webhook.v1 import webhook_pb2 as pb

URL = "https://hooks.example.com/venue"
REQUEST_ID = "0190a5a0-0000-7000-8000-000000000001"


async def test_an_endpoint_is_made_once_for_a_request_id(hooks: Hooks) -> None:
    request = pb.CreateEndpointRequest(
        url=URL, event_types=[FILLED, BALANCE], description="books", request_id=REQUEST_ID
    )
    made, again = await hooks.ask(request), await hooks.ask(request)
    assert (made.replayed, again.replayed, again.secret) == (False, True, made.secret)
    assert again.endpoint == made.endpoint
    assert made.secret.startswith("whsec_")
    request.description = "other"
    assert await hooks.refused(request) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    assert len((await hooks.ask(pb.ListEndpointsRequest())).endpoints) == 1


async def test_s24_the_secret_lies_sealed_in_the_database(hooks: Hooks) -> None:
    _, secret = await hooks.endpoint(URL)
    ((envelope,),) = await hooks.rows("SELECT secret FROM webhook_secrets")
    assert secret.removeprefix("whsec_").encode() not in bytes(envelope)
    assert bytes(envelope)[2:6] == b"test"


async def test_an_endpoint_is_changed_listed_page_by_page_and_removed(hooks: Hooks) -> None:
    ids = [(await hooks.endpoint(f"{URL}/{number}"))[0] for number in range(3)]
    page = await hooks.ask(pb.ListEndpointsRequest(page_size=2))
    rest = await hooks.ask(pb.ListEndpointsRequest(page_size=2, page_token=page.next_page_token))
    assert [each.endpoint_id for each in (*page.endpoints, *rest.endpoints)] == ids[::-1]
    changed = await hooks.ask(
        pb.UpdateEndpointRequest(
            endpoint_id=ids[0], url=f"{URL}/other", event_types=[BALANCE], state=pb.ENDPOINT_STATE_DISABLED
        )
    )
    endpoint = changed.endpoint
    assert (endpoint.url, list(endpoint.event_types)) == (f"{URL}/other", [BALANCE])
    assert endpoint.state == pb.ENDPOINT_STATE_DISABLED
    await hooks.ask(pb.DeleteEndpointRequest(endpoint_id=ids[0]))
    missing = ("NOT_FOUND", "WEBHOOK_ENDPOINT_NOT_FOUND")
    assert await hooks.refused(pb.DeleteEndpointRequest(endpoint_id=ids[0])) == missing
    assert await hooks.rows("SELECT count(*) FROM webhook_secrets") == [(2,)]
    actions = await hooks.rows("SELECT action FROM audit_entries ORDER BY sequence")
    assert actions == [("WEBHOOK_CREATE",)] * 3 + [("WEBHOOK_UPDATE",), ("WEBHOOK_DELETE",)]


async def test_what_is_somebody_elses_is_not_there(hooks: Hooks) -> None:
    endpoint_id, _ = await hooks.endpoint(URL)
    missing = ("NOT_FOUND", "WEBHOOK_ENDPOINT_NOT_FOUND")
    for request in (
        pb.GetEndpointRequest(endpoint_id=endpoint_id),
        pb.UpdateEndpointRequest(endpoint_id=endpoint_id, description=StringValue(value="mine")),
        pb.DeleteEndpointRequest(endpoint_id=endpoint_id),
        pb.RotateSecretRequest(endpoint_id=endpoint_id),
        pb.ListDeliveriesRequest(endpoint_id=endpoint_id),
        pb.SendTestRequest(endpoint_id=endpoint_id),
        pb.RedeliverRequest(endpoint_id=endpoint_id, message_id="msg_1"),
    ):
        assert await hooks.refused(request, user="usr-bob") == missing
    assert (await hooks.ask(pb.ListEndpointsRequest(), user="usr-bob")).endpoints == []
    theirs = pb.CreateEndpointRequest(url=URL, event_types=[FILLED], account_id="demo-c")
    assert await hooks.refused(theirs) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    request = pb.RedeliverRequest(endpoint_id=endpoint_id, after=pb.After(account_id="demo-c"))
    assert await hooks.refused(request) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert await hooks.refused(pb.GetEndpointRequest(endpoint_id="whe-\0")) == missing


async def test_bad_requests_are_refused_and_make_nothing(hooks: Hooks) -> None:
    for request, reason in (
        (pb.CreateEndpointRequest(url="ftp://example.com", event_types=[FILLED]), "WEBHOOK_URL_REFUSED"),
        (pb.CreateEndpointRequest(url="https://10.0.0.1/", event_types=[FILLED]), "WEBHOOK_URL_REFUSED"),
        (pb.CreateEndpointRequest(url=URL), "INVALID_FIELD"),
        (pb.CreateEndpointRequest(url=URL, event_types=[FILLED, FILLED]), "INVALID_FIELD"),
        (pb.CreateEndpointRequest(url=URL, event_types=[pb.EVENT_TYPE_TEST]), "INVALID_FIELD"),
        (pb.CreateEndpointRequest(url=f"https://{'x' * 2048}", event_types=[FILLED]), "INVALID_FIELD"),
        (pb.CreateEndpointRequest(url=URL, event_types=[FILLED], request_id="1"), "INVALID_FIELD"),
    ):
        assert await hooks.refused(request) == ("INVALID_ARGUMENT", reason)
    endpoint_id, _ = await hooks.endpoint(URL)
    for change, reason in (
        (pb.RedeliverRequest(endpoint_id=endpoint_id), "INVALID_FIELD"),
        (pb.RotateSecretRequest(endpoint_id=endpoint_id, overlap=Duration(seconds=-1)), "INVALID_FIELD"),
        (pb.RotateSecretRequest(endpoint_id=endpoint_id, overlap=Duration(seconds=604801)), "INVALID_FIELD"),
        (pb.UpdateEndpointRequest(endpoint_id=endpoint_id, url="https://[::1]:bad/"), "WEBHOOK_URL_REFUSED"),
    ):
        assert await hooks.refused(change) == ("INVALID_ARGUMENT", reason)
    unknown = pb.RedeliverRequest(endpoint_id=endpoint_id, message_id="msg_2-1-0-0")
    assert await hooks.refused(unknown) == ("NOT_FOUND", "WEBHOOK_DELIVERY_NOT_FOUND")
    assert len((await hooks.ask(pb.ListEndpointsRequest())).endpoints) == 1


async def test_who_logged_in_long_ago_steps_up_first(hooks: Hooks) -> None:
    endpoint_id, _ = await hooks.endpoint(URL)
    for request in (
        pb.CreateEndpointRequest(url=URL, event_types=[FILLED]),
        pb.UpdateEndpointRequest(endpoint_id=endpoint_id, url=f"{URL}/other"),
        pb.RotateSecretRequest(endpoint_id=endpoint_id),
    ):
        assert await hooks.refused(request, auth_time=1) == ("PERMISSION_DENIED", "STEP_UP_REQUIRED")


async def test_a_user_has_so_many_and_no_more(hooks: Hooks) -> None:
    for number in range(20):
        await hooks.endpoint(f"{URL}/{number}")
    request = pb.CreateEndpointRequest(url=URL, event_types=[FILLED])
    assert await hooks.refused(request) == ("FAILED_PRECONDITION", "TOO_MANY_WEBHOOK_ENDPOINTS")


async def test_s26_old_and_new_secret_both_verify_until_the_overlap_is_over(hooks: Hooks) -> None:
    receiver = await hooks.receiver()
    endpoint_id, old = await hooks.endpoint(receiver.url)
    new = (await hooks.ask(pb.RotateSecretRequest(endpoint_id=endpoint_id))).secret
    async with hooks.working():
        sent = await hooks.ask(pb.SendTestRequest(endpoint_id=endpoint_id))
        await eventually(lambda: len(receiver.came) == 1)
        assert receiver.ids == [sent.message_id]
        assert receiver.verified(old) == receiver.verified(new)
        assert receiver.verified(new)["type"] == "test"
        newest = (await hooks.ask(pb.RotateSecretRequest(endpoint_id=endpoint_id, overlap=Duration()))).secret
        await hooks.happens()
        await eventually(lambda: len(receiver.came) == 2)
    assert receiver.verified(newest)["type"] == "order_filled"
    for secret in (old, new):
        with pytest.raises(WebhookVerificationError):
            receiver.verified(secret)
