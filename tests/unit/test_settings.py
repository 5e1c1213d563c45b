"""The settings of a venue that nobody has configured."""

import subprocess
import sys
from pathlib import Path

import pytest

from db.crash_points import POINTS
from servers.config import BadSettingsError, Settings

# Linux picks the ports of outgoing connections from here on (net.ipv4.ip_local_port_range).
EPHEMERAL_FROM = 32_768


def test_no_default_port_is_one_that_an_outgoing_connection_may_have() -> None:
    ports = {name: field.default for name, field in Settings.model_fields.items() if name.endswith("_port")}
    assert {name: port for name, port in ports.items() if port >= EPHEMERAL_FROM} == {}
    assert len(set(ports.values())) == len(ports)


def test_a_production_venue_is_not_told_where_to_end_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VENUE_CRASH_POINTS", str(tmp_path / "order.crash"))
    assert Settings.load().crash_points == tmp_path / "order.crash"
    monkeypatch.setenv("VENUE_DEFAULT_ENVIRONMENT", "LIVE")
    with pytest.raises(BadSettingsError, match="VENUE_CRASH_POINTS"):
        Settings.load()


@pytest.mark.parametrize("point", [point for points in POINTS.values() for point in points])
def test_a_process_ends_at_the_place_it_was_told_and_only_once(tmp_path: Path, point: str) -> None:
    order = tmp_path / "crash"
    order.write_text(f"{point} 3")
    told = (
        "import pathlib; from db.crash_points import arm, passing; "
        f"arm(pathlib.Path({str(order)!r})); [(passing({point!r}), print(n, flush=True)) for n in range(4)]"
    )
    ran = [subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False) for _ in range(2)]
    assert [(run.returncode, run.stdout.split()) for run in ran] == [(-9, ["0", "1"]), (0, ["0", "1", "2", "3"])]


def test_callers_without_a_credential_have_a_hundred_calls_a_minute_in_production(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings.load().anonymous_rate > 100_000
    monkeypatch.setenv("VENUE_DEFAULT_ENVIRONMENT", "LIVE")
    assert Settings.load().anonymous_rate == 100
    monkeypatch.setenv("VENUE_ANONYMOUS_PER_MINUTE", "30")
    assert Settings.load().anonymous_rate == 30


@pytest.mark.parametrize(("processors", "hashed"), [(None, 1), (1, 1), (2, 1), (3, 2), (64, 2)])
def test_s03_hashing_leaves_a_processor_to_orders(
    monkeypatch: pytest.MonkeyPatch, processors: int | None, hashed: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: processors)
    assert Settings.load().hashing == hashed
    monkeypatch.setenv("VENUE_AUTH_WORKERS", "5")
    assert Settings.load().hashing == 5


@pytest.mark.parametrize(("cost", "rate"), [(12, 5), (11, 10), (4, 1280), (14, 1), (16, 1)])
def test_f36_a_gateway_lets_through_the_log_ins_that_can_be_hashed(
    monkeypatch: pytest.MonkeyPatch, cost: int, rate: int
) -> None:
    monkeypatch.setenv("VENUE_AUTH_WORKERS", "1")
    monkeypatch.setenv("VENUE_BCRYPT_COST", str(cost))
    assert Settings.load().login_rate == rate
    monkeypatch.setenv("VENUE_LOGINS_PER_SECOND", "7")
    assert Settings.load().login_rate == 7


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "venue.example"])
def test_s17_without_mutual_tls_servers_listen_on_loopback_only(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("VENUE_HOST", host)
    with pytest.raises(BadSettingsError, match=r"VENUE_HOST: .*VENUE_MTLS=true"):
        Settings.load()
    monkeypatch.setenv("VENUE_MTLS", "true")
    assert Settings.load().host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7"])
def test_s17_without_tls_the_gateway_listens_on_loopback_only(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("VENUE_GATEWAY_HOST", host)
    with pytest.raises(BadSettingsError, match=r"VENUE_GATEWAY_HOST: .*VENUE_TLS"):
        Settings.load()
    monkeypatch.setenv("VENUE_TLS", "self-signed")
    assert Settings.load().gateway_url.startswith("https://")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("VENUE_TLS_CERT", "VENUE_TLS_KEY"), ("VENUE_TLS_KEY", "VENUE_TLS_KEY"), ("VENUE_MTLS_CA", "VENUE_MTLS_KEY")],
)
def test_half_of_a_certificate_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, wrong: str) -> None:
    monkeypatch.setenv(name, str(tmp_path / "file"))
    with pytest.raises(BadSettingsError, match=wrong):
        Settings.load()
