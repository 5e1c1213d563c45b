"""Who may call a method: the access option of the contract, read once when a server is built."""

import time
from dataclasses import dataclass
from typing import Final

from google.protobuf.descriptor import MethodDescriptor

from servers.transport.identity import Identity, role_name, scope_name
from servers.transport.refusals import NotAuthenticated, NotPermitted, SecondFactorMissing, StepUpRequired
from venue.option.v1 import access_pb2

# How long an authentication is fresh (OWASP ASVS 7.5.3), and what the clocks of servers may differ.
FRESH_S: Final = 300.0
CLOCKS_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Rule:
    """The access option of one method; `roles` empty means every role."""

    scope: int
    roles: frozenset[int]
    bucket: int
    second_factor: bool = False
    bound_keys: bool = False
    kyc_level: int = 0

    @property
    def is_open(self) -> bool:
        """True where no credential is needed."""
        return self.scope in {access_pb2.SCOPE_PUBLIC, access_pb2.SCOPE_INTERNAL}

    @property
    def is_privileged(self) -> bool:
        """True where not everybody who is logged in may call: a role is needed, or a token for administration."""
        return bool(self.roles) or self.scope == access_pb2.SCOPE_ADMIN

    def check(self, identity: Identity) -> None:
        """Raises NotAuthenticated, NotPermitted, StepUpRequired, SecondFactorMissing."""
        if self.is_open:
            return
        if not identity.user_id:
            raise NotAuthenticated("no credential")
        if self.scope not in identity.scopes:
            raise NotPermitted(scope=scope_name(self.scope))
        if self.roles and identity.role not in self.roles:
            raise NotPermitted(role=role_name(identity.role))
        # A key proves nothing anew. One that may withdraw was made with a fresh second factor, for the addresses it names.
        if self.second_factor and not (identity.api_key_id and self.scope == access_pb2.SCOPE_WITHDRAW):
            self._check_fresh(identity)

    def _check_fresh(self, identity: Identity) -> None:
        if self.scope == access_pb2.SCOPE_WITHDRAW and not identity.second_factor:
            raise SecondFactorMissing
        if time.time() - identity.auth_time > FRESH_S + CLOCKS_S:
            raise StepUpRequired(by="totp" if identity.second_factor else "password")


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
    if access.kyc_level and access.scope in {access_pb2.SCOPE_PUBLIC, access_pb2.SCOPE_INTERNAL}:
        raise ValueError(f"{name} demands a level of KYC of nobody in particular")
    if access.second_factor and access.scope in {access_pb2.SCOPE_PUBLIC, access_pb2.SCOPE_INTERNAL}:
        raise ValueError(f"{name} demands a second factor of nobody in particular")
    return Rule(
        access.scope,
        frozenset(access.roles),
        access.bucket,
        second_factor=access.second_factor,
        bound_keys=access.bound_keys,
        kyc_level=access.kyc_level,
    )
