"""Certificates that the venue makes for itself: the gateway's, and those its servers show each other.

They lie in `tls/` of the state folder and belong to its owner. One that runs out within a month is made anew at the next
start; the small authority lives as long as the folder does.
"""

import base64
import fcntl
import hashlib
import ipaddress
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from servers.embedded.errors import StartError
from servers.transport.papers import INNER_NAME, Papers

# Browsers refuse longer ones.
LIFE = timedelta(days=397)
AUTHORITY_LIFE = timedelta(days=3650)
RENEWED_BEFORE = timedelta(days=30)
# What clocks may differ.
EARLIER = timedelta(minutes=5)
AUTHORITY = "authority"
GATEWAY = "gateway"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM: the certificate with what leads to its authority, and its key."""

    chain: Path
    key: Path

    def check(self) -> None:
        """Raises StartError where the two are not a certificate and its key, or its time is over."""
        try:
            found = self.read()
            key = serialization.load_pem_private_key(self.key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise StartError(f"{self.chain}, {self.key}: not a certificate and its key ({error})") from None
        if key.public_key() != found.public_key():
            raise StartError(f"{self.key} is not the key of {self.chain}")
        if found.not_valid_after_utc < datetime.now(UTC):
            raise StartError(f"{self.chain} was valid until {found.not_valid_after_utc:%Y-%m-%d}")

    def read(self) -> x509.Certificate:
        """The first of the chain. Raises OSError, ValueError."""
        return x509.load_pem_x509_certificate(self.chain.read_bytes())

    @property
    def pin(self) -> str:
        """SHA-256 of the public key in base64: what the gateway knows itself by."""
        public = self.read().public_key()
        spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(hashlib.sha256(spki).digest()).decode()

    @property
    def name(self) -> str:
        """The first DNS name in it. Raises StartError where it has none."""
        try:
            names = self.read().extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            names = None
        found = names.get_values_for_type(x509.DNSName) if names is not None else []
        if not found:
            raise StartError(f"{self.chain} names no host")
        return found[0]


def at(folder: Path, name: str) -> Certificate:
    return Certificate(folder / f"{name}.crt", folder / f"{name}.key")


def self_signed(folder: Path) -> Certificate:
    """The gateway's own certificate for this machine, made where there is none or its time is nearly over."""
    made = at(folder, GATEWAY)
    with alone(folder):
        if not lasts(made):
            key = ec.generate_private_key(ec.SECP256R1())
            signed = (
                described(key, GATEWAY, LOCAL_NAMES, LIFE)
                .issuer_name(named(GATEWAY))
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
                .sign(key, hashes.SHA256())
            )
            write(made, key, signed)
    return made


def issued(folder: Path, name: str) -> tuple[Path, Certificate]:
    """The authority's certificate, and the one it issued to a process of the venue; both made where they are not there."""
    authority, made = at(folder, AUTHORITY), at(folder, name)
    with alone(folder):
        if not authority.chain.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            signed = (
                described(key, AUTHORITY, (), AUTHORITY_LIFE, may_sign=True)
                .issuer_name(named(AUTHORITY))
                .sign(key, hashes.SHA256())
            )
            write(authority, key, signed)
        if not lasts(made):
            signer = serialization.load_pem_private_key(authority.key.read_bytes(), None)
            assert isinstance(signer, Key)
            key = ec.generate_private_key(ec.SECP256R1())
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            signed = (
                described(key, name, (INNER_NAME, f"{name}.{INNER_NAME}"), LIFE)
                .issuer_name(named(AUTHORITY))
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
                .add_extension(x509.ExtendedKeyUsage(both), critical=False)
                .sign(signer, hashes.SHA256())
            )
            write(made, key, signed)
    return authority.chain, made


def papers(authority: Path, own: Certificate) -> Papers:
    """Raises StartError where a file is not what it should be."""
    own.check()
    try:
        return Papers(authority.read_bytes(), own.chain.read_bytes(), own.key.read_bytes())
    except OSError as error:
        raise StartError(f"{authority}: {error.strerror}") from None


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"venue {name}")])


def described(
    key: Key, name: str, hosts: Sequence[str], life: timedelta, *, may_sign: bool = False
) -> x509.CertificateBuilder:
    """A certificate that nobody has issued yet."""
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=may_sign, path_length=0 if may_sign else None), critical=True)
        .add_extension(usage(may_sign=may_sign), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return (
        made.add_extension(x509.SubjectAlternativeName([general(host) for host in hosts]), critical=False)
        if hosts
        else made
    )


def general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def usage(*, may_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not may_sign,
        key_cert_sign=may_sign,
        crl_sign=may_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def lasts(certificate: Certificate) -> bool:
    """Whether it is there and good for a month more."""
    try:
        return certificate.read().not_valid_after_utc - datetime.now(UTC) > RENEWED_BEFORE
    except (OSError, ValueError):
        return False


def write(where: Certificate, key: Key, signed: x509.Certificate) -> None:
    """The key first: a certificate that is there has its key."""
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path, data in ((where.key, text), (where.chain, signed.public_bytes(serialization.Encoding.PEM))):
        half = path.with_name(f".{path.name}")
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        half.replace(path)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, no other process of the venue makes certificates in the folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
