"""What a deployment decides about passwords: how dear a hash is, and what hashing them may take of the machine."""

import os
from typing import Annotated, Final

from pydantic import Field
from pydantic_settings import BaseSettings

PositiveInt = Annotated[int, Field(ge=1)]
# Of one processor at bcrypt's cost 12, in a second; each step of the cost is twice the work.
HASHES_AT_12: Final = 5


class LoginSettings(BaseSettings):
    """Part of `servers.config.Settings`."""

    bcrypt_cost: Annotated[int, Field(ge=4, le=16)] = 12
    # Passwords hashed at once; unset: one where there are two processors or one, two where there are more.
    auth_workers: PositiveInt | None = None
    # What each of those takes of a processor while other programs want it too; 1: all it can get.
    auth_share: Annotated[float, Field(gt=0, le=1)] = 0.025
    # Log-ins and registrations a second that a gateway lets through, of everybody together, and four times as many at
    # once; unset: what can be hashed.
    logins_per_second: PositiveInt | None = None
    login_requires_verified: bool = False

    @property
    def hashing(self) -> int:
        """How many passwords are hashed at once: a processor stays without one, where there is another, for orders."""
        return self.auth_workers or min(2, max(1, (os.cpu_count() or 1) - 1))

    @property
    def login_rate(self) -> int:
        """Log-ins and registrations a second that a gateway lets through."""
        hashes = self.hashing * HASHES_AT_12 * 2.0 ** (12 - self.bcrypt_cost)
        return self.logins_per_second or max(1, int(hashes))
