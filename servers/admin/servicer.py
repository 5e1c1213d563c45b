"""AdminService: what each RPC is done by."""

from servers.admin.create_admin_token import AdminTokens
from servers.transport.call import Call
from venue.admin.v1 import admin_pb2 as pb


class AdminServicer:
    """Serves administration."""

    def __init__(self, tokens: AdminTokens) -> None:
        self._tokens = tokens

    async def CreateAdminToken(self, request: pb.CreateAdminTokenRequest, call: Call) -> pb.CreateAdminTokenResponse:
        return await self._tokens.create(call)
