"""The settings of what lies in the state folder and of TLS: at the gateway, and among the servers."""

from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from servers.embedded.state import State

# Imported where they are needed: most commands start without.
if TYPE_CHECKING:
    from servers.embedded.certificates import Certificate
    from servers.transport.papers import Papers, Trust

# Listening there is listening on every address of the machine.
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104  # nosec B104  compared with, not listened on


def is_loopback(host: str) -> bool:
    """Whether only this machine gets there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class SecrecySettings(BaseSettings):
    """Part of the settings (servers/config.py), which says what the variables are called."""

    # Where state lies.
    state_dir: Path = Path(".venue")

    # TLS at the gateway: a certificate that the venue makes for itself, or given files (PEM, with what leads to their authority).
    tls: Literal["off", "self-signed"] = "off"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    # TLS with certificates of both sides between the gateway and the servers and among servers: under an authority that the
    # venue keeps in its state folder, or by given files; their certificate must have the DNS name venue.internal.
    mtls: bool = False
    mtls_ca: Path | None = None
    mtls_cert: Path | None = None
    mtls_key: Path | None = None
    # Where the gateway listens: elsewhere than on loopback with TLS alone.
    gateway_host: str = "127.0.0.1"
    gateway_port: Annotated[int, Field(ge=1, le=65535)] = 8080

    @field_validator("tls_key")
    @classmethod
    def _both(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if (key is None) != (info.data.get("tls_cert") is None):
            raise ValueError("comes with VENUE_TLS_CERT, and that with it")
        return key

    @field_validator("mtls_key")
    @classmethod
    def _all(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        given = [info.data.get("mtls_ca"), info.data.get("mtls_cert"), key]
        if None in given and given != [None, None, None]:
            raise ValueError("comes with VENUE_MTLS_CA and VENUE_MTLS_CERT, and those with it")
        return key

    @field_validator("gateway_host")
    @classmethod
    def _seen_by_others(cls, host: str, info: ValidationInfo) -> str:
        if not is_loopback(host) and info.data.get("tls") == "off" and info.data.get("tls_cert") is None:
            raise ValueError("is not loopback: set VENUE_TLS, or VENUE_TLS_CERT and VENUE_TLS_KEY")
        return host

    @property
    def state(self) -> State:
        return State(self.state_dir)

    @property
    def certificate(self) -> "Certificate | None":
        """The gateway's, made on first use where none is given; None where it speaks plainly. Raises StartError."""
        if self.tls == "off" and self.tls_cert is None:
            return None
        from servers.embedded.certificates import Certificate, self_signed

        if self.tls_cert is not None and self.tls_key is not None:
            found = Certificate(self.tls_cert.resolve(), self.tls_key.resolve())
        else:
            self.state.create()
            found = self_signed(self.state.tls)
        found.check()
        return found

    @property
    def trust(self) -> "Trust | None":
        """How the venue's own commands know its gateway. Raises StartError."""
        found = self.certificate
        if found is None:
            return None
        from servers.transport.papers import Trust

        return Trust(found.chain.read_bytes(), found.name)

    def identity(self, name: str) -> "tuple[Path, Certificate] | None":
        """The authority among the servers and the certificate of one of them; None where they speak plainly."""
        if not self.mtls:
            return None
        from servers.embedded.certificates import Certificate, issued

        if self.mtls_ca is not None and self.mtls_cert is not None and self.mtls_key is not None:
            return self.mtls_ca.resolve(), Certificate(self.mtls_cert.resolve(), self.mtls_key.resolve())
        self.state.create()
        return issued(self.state.tls, name)

    def papers(self) -> "Papers | None":
        """What a server or a command of the venue shows the others. Raises StartError."""
        found = self.identity("server")
        if found is None:
            return None
        from servers.embedded.certificates import papers

        return papers(*found)

    @property
    def gateway_url(self) -> str:
        scheme = "https" if self.tls != "off" or self.tls_cert is not None else "http"
        host = "127.0.0.1" if self.gateway_host in EVERYWHERE else self.gateway_host
        return f"{scheme}://{host}:{self.gateway_port}"
