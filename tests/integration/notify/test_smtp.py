"""Mail over SMTP to a real server, with a log-in: in the clear on this machine, over TLS at once or after STARTTLS."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from servers.config import BadSettingsError, Settings
from servers.notify.provider import MailNotTaken
from servers.notify.smtp import Smtp
from servers.notify.writing import Mail
from tests.servers import free_port

# The test's server says so of itself where it takes a log-in without TLS.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
SENDER = "venue <no-reply@venue.example>"
MAIL = Mail("O'Neil+x@example.com", "Verify your address", "Token: vvt_x\nümlaut\n", "<p>ümlaut</p>\n", "ltr-1")


class Postbox:
    """Keeps what it was given; refuses two recipients, one for good."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, list[str], bytes]] = []

    async def handle_RCPT(self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any) -> str:
        match address:
            case "nobody@example.com":
                return "550 no such mailbox"
            case "full@example.com":
                return "452 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.content))
        return "250 OK"


def knows(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
    return AuthResult(success=(given.login, given.password) == (b"venue@x", b"p:w/d"), handled=False)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key, and a certificate of this machine that it signed itself."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]),
    )
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("smtp") / "server.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(pem + made.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(params=["smtp", "smtp+starttls", "smtps"])
def running(request: pytest.FixtureRequest, certificate: Path) -> Iterator[tuple[str, Postbox, ssl.SSLContext]]:
    """A server of each kind: its address with a log-in, what it was given, and whom a client trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    box = Postbox()
    common: dict[str, Any] = {
        "hostname": "127.0.0.1",
        "port": free_port(),
        "server_hostname": "test",
        "authenticator": knows,
        "auth_required": True,
    }
    match request.param:
        case "smtp":
            controller = Controller(box, **common, auth_require_tls=False)
        case "smtps":
            controller = Controller(box, **common, ssl_context=context, auth_require_tls=False)
        case _:
            controller = Controller(box, **common, tls_context=context, require_starttls=True)
    controller.start()
    trust = ssl.create_default_context(cafile=str(certificate))
    yield f"{request.param}://venue%40x:p%3Aw%2Fd@127.0.0.1:{common['port']}", box, trust
    controller.stop()


async def test_a_mail_arrives_as_it_was_written(running: tuple[str, Postbox, ssl.SSLContext]) -> None:
    address, box, trust = running
    await Smtp(address, SENDER, trust=trust).send(MAIL)
    ((sender, recipients, content),) = box.mails
    mail = message_from_bytes(content, policy=SMTP)
    assert (sender, recipients) == ("no-reply@venue.example", [MAIL.address])
    assert (mail["From"], mail["To"], mail["Subject"]) == (SENDER, MAIL.address, MAIL.subject)
    for form, wanted in (("plain", MAIL.text), ("html", MAIL.html)):
        part = mail.get_body((form,))
        assert part is not None
        assert part.get_content().replace("\r\n", "\n") == wanted
    assert mail["Message-ID"] == "<ltr-1@venue.example>"


async def test_what_is_refused_for_good_and_what_may_be_tried_again(
    running: tuple[str, Postbox, ssl.SSLContext],
) -> None:
    address, box, trust = running
    smtp = Smtp(address, SENDER, trust=trust)
    for to, lasting in (("nobody@example.com", True), ("full@example.com", False)):
        with pytest.raises(MailNotTaken) as refused:
            await smtp.send(Mail(to, "Subject", "Text\n", "<p>Text</p>\n"))
        assert refused.value.lasting is lasting
        assert to not in str(refused.value)
    wrong = Smtp(address.replace("p%3Aw", "other"), SENDER, trust=trust)
    with pytest.raises(MailNotTaken):
        await wrong.send(MAIL)
    assert box.mails == []


async def test_a_server_that_is_not_trusted_gets_nothing(running: tuple[str, Postbox, ssl.SSLContext]) -> None:
    address, box, _ = running
    if address.startswith("smtp:"):
        return
    with pytest.raises(MailNotTaken):
        await Smtp(address, SENDER).send(MAIL)
    assert box.mails == []


async def test_a_server_that_is_away_may_come_back() -> None:
    with pytest.raises(MailNotTaken) as refused:
        await Smtp(f"smtp://127.0.0.1:{free_port()}", SENDER).send(MAIL)
    assert not refused.value.lasting


@pytest.mark.parametrize("address", ["smtp://mail.example.com", "http://127.0.0.1", "smtps://", "mail.example.com"])
def test_an_address_in_the_clear_or_of_no_server_stops_the_start(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("VENUE_SMTP_URL", address)
    with pytest.raises(BadSettingsError, match="VENUE_SMTP_URL"):
        Settings.load()
