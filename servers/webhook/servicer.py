"""WebhookService: what each RPC is done by."""

from sqlalchemy.ext.asyncio import AsyncEngine

from db.sealing import Sealer
from servers.transport.call import Call
from servers.transport.paging import PageTokens
from servers.webhook.addresses import Guard
from servers.webhook.deliveries import Deliveries
from servers.webhook.endpoints import Endpoints, Owned
from servers.webhook.views import to_delivery, to_endpoint
from venue.webhook.v1 import webhook_pb2 as pb


class WebhookServicer:
    def __init__(self, engine: AsyncEngine, sealer: Sealer, guard: Guard, owned: Owned, tokens: PageTokens) -> None:
        self._endpoints = Endpoints(engine, sealer, guard, owned, tokens)
        self._deliveries = Deliveries(engine, self._endpoints, owned, tokens)

    async def CreateEndpoint(self, request: pb.CreateEndpointRequest, call: Call) -> pb.CreateEndpointResponse:
        row, secret, replayed = await self._endpoints.create(request, call)
        return pb.CreateEndpointResponse(endpoint=to_endpoint(row), secret=secret, replayed=replayed)

    async def ListEndpoints(self, request: pb.ListEndpointsRequest, call: Call) -> pb.ListEndpointsResponse:
        rows, token = await self._endpoints.list(request, call)
        return pb.ListEndpointsResponse(endpoints=map(to_endpoint, rows), next_page_token=token)

    async def GetEndpoint(self, request: pb.GetEndpointRequest, call: Call) -> pb.GetEndpointResponse:
        return pb.GetEndpointResponse(endpoint=to_endpoint(await self._endpoints.get(request.endpoint_id, call)))

    async def UpdateEndpoint(self, request: pb.UpdateEndpointRequest, call: Call) -> pb.UpdateEndpointResponse:
        return pb.UpdateEndpointResponse(endpoint=to_endpoint(await self._endpoints.update(request, call)))

    async def DeleteEndpoint(self, request: pb.DeleteEndpointRequest, call: Call) -> pb.DeleteEndpointResponse:
        await self._endpoints.delete(request.endpoint_id, call)
        return pb.DeleteEndpointResponse()

    async def RotateSecret(self, request: pb.RotateSecretRequest, call: Call) -> pb.RotateSecretResponse:
        secret, end = await self._endpoints.rotate_secret(request, call)
        response = pb.RotateSecretResponse(secret=secret)
        response.previous_expire_time.FromDatetime(end)
        return response

    async def ListDeliveries(self, request: pb.ListDeliveriesRequest, call: Call) -> pb.ListDeliveriesResponse:
        rows, token = await self._deliveries.list(request, call)
        return pb.ListDeliveriesResponse(deliveries=map(to_delivery, rows), next_page_token=token)

    async def Redeliver(self, request: pb.RedeliverRequest, call: Call) -> pb.RedeliverResponse:
        await self._deliveries.redeliver(request, call)
        return pb.RedeliverResponse()

    async def SendTest(self, request: pb.SendTestRequest, call: Call) -> pb.SendTestResponse:
        return pb.SendTestResponse(message_id=await self._deliveries.send_test(request.endpoint_id, call))
