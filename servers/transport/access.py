"""Who may call a method: the access option of the contract, read once when a server is built."""

from dataclasses import dataclass

from google.protobuf.descriptor import MethodDescriptor

from servers.transport.identity import Identity, role_name, scope_name
from servers.transport.refusals import NotAuthenticated, NotPermitted
from venue.option.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Rule:
    """The access option of one method; `roles` empty means every role."""

    scope: int
    roles: frozenset[int]
    bucket: int

    @property
    def is_open(self) -> bool:
        """True where no credential is needed."""
        return self.scope in {access_pb2.SCOPE_PUBLIC, access_pb2.SCOPE_INTERNAL}

    def check(self, identity: Identity) -> None:
        """Raises NotAuthenticated or NotPermitted."""
        if self.is_open:
            return
        if not identity.user_id:
            raise NotAuthenticated("no credential")
        if self.scope not in identity.scopes:
            raise NotPermitted(scope=scope_name(self.scope))
        if self.roles and identity.role not in self.roles:
            raise NotPermitted(role=role_name(identity.role))


def rule_of(method: MethodDescriptor, *, internal: bool) -> Rule:
    """The rule of a method. Raises ValueError for a method that nobody may serve: the server does not start then."""
    options = method.GetOptions()
    name = method.full_name
    if not options.HasExtension(access_pb2.access):
        raise ValueError(f"{name} has no access option")
    access = options.Extensions[access_pb2.access]
    if access.scope == access_pb2.SCOPE_UNSPECIFIED or access.bucket == access_pb2.BUCKET_UNSPECIFIED:
        raise ValueError(f"{name} has no scope or no bucket")
    if access.scope == access_pb2.SCOPE_INTERNAL and not internal:
        raise ValueError(f"{name} is for servers of the venue only; this server is not one of the inside")
    if access.second_factor:
        raise ValueError(f"{name} demands a second factor, which no credential carries")
    return Rule(access.scope, frozenset(access.roles), access.bucket)
