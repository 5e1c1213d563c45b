"""Signing keys: made once, readable by their owner alone, and replaced without a token failing (AUT-2, OPS-7, S11)."""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from servers.auth.keys import (
    PUBLISH_S,
    READ_AGAIN_S,
    RETIRE_S,
    RotationUnderWay,
    SigningKeys,
    add_key,
    key_files,
    read_key,
    thumbprint,
)
from servers.config import Settings
from servers.transport.identity import KEYS_EVERY_S, LEEWAY_S


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_first_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    first, second = SigningKeys(folder).current(), SigningKeys(folder).current()
    assert first.kid == second.kid
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in folder.iterdir()] == [
        ("jwt-0000000000.pem", 0o600)
    ]


def test_of_many_processes_that_start_at_once_one_makes_the_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        kids = list(pool.map(lambda _: SigningKeys(tmp_path).current().kid, range(64)))
    assert len(set(kids)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["jwt-0000000000.pem"]


def test_s11_the_key_id_is_the_thumbprint_of_rfc_8037() -> None:
    # Appendix A.3 of the RFC.
    assert thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo") == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_s11_a_new_key_is_published_first_signs_later_and_the_old_one_stays_until_its_tokens_died(
    tmp_path: Path,
) -> None:
    clock = Clock()
    keys = SigningKeys(tmp_path, publish_s=120, retire_s=1020, clock=clock)
    old = keys.current().kid
    add_key(tmp_path, created=int(clock.now))
    new = read_key(tmp_path / f"jwt-{int(clock.now):010d}.pem").kid

    def after(seconds: float) -> list[str]:
        clock.now = Clock.now + seconds
        return [key["kid"] for key in keys.jwks()]

    assert after(4) == [old]
    assert after(6) == [old, new]
    assert after(119) == [old, new]
    assert after(120) == [new, old]
    assert after(1139) == [new, old]
    assert after(1140) == [new]


def test_other_files_in_the_folder_do_not_matter(tmp_path: Path) -> None:
    for name in ["pepper", "jwt-1.pem", "jwt-0000000001.pem.bak", ".jwt-abc"]:
        (tmp_path / name).write_text("nothing")
    SigningKeys(tmp_path).current()
    assert key_files(tmp_path) == ["jwt-0000000000.pem"]


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    rsa = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "jwt-0000000000.pem").write_bytes(rsa)
    with pytest.raises(ValueError, match="is not an Ed25519 key"):
        SigningKeys(tmp_path).current()


def test_a_clock_that_was_set_back_does_not_stop_the_reading(tmp_path: Path) -> None:
    clock = Clock()
    keys = SigningKeys(tmp_path, clock=clock)
    keys.current()
    clock.now -= 3600
    add_key(tmp_path, created=int(clock.now))
    assert len(keys.published()) == 2


def test_the_secret_half_is_not_printed(tmp_path: Path) -> None:
    assert "private" not in repr(SigningKeys(tmp_path).current())


def test_s11_a_rotation_waits_for_the_one_before_and_deletes_what_is_over(tmp_path: Path) -> None:
    clock = Clock()
    keys = SigningKeys(tmp_path, publish_s=120, retire_s=1020, clock=clock)
    old = keys.current()
    new = keys.rotate()
    assert keys.current().kid == old.kid
    clock.now += 60
    with pytest.raises(RotationUnderWay) as refused:
        keys.rotate()
    assert refused.value.signs_from == Clock.now + 120
    clock.now += 60
    assert keys.current().kid == new.kid
    # The old one is believed still, so its file stays; after the next rotation it is over.
    keys.rotate()
    assert len(key_files(tmp_path)) == 3
    clock.now += 1020
    keys.rotate()
    assert old.file not in key_files(tmp_path)
    assert len(key_files(tmp_path)) == 3


def test_s11_a_key_is_published_for_longer_than_anybody_keeps_the_set() -> None:
    gateway = (Path(__file__).resolve().parents[3] / "gateway" / "envoy.yaml").read_text()
    (cached,) = re.findall(r"cache_duration: ([0-9]+)s", gateway)
    assert int(cached) + READ_AGAIN_S <= PUBLISH_S
    assert PUBLISH_S >= KEYS_EVERY_S + READ_AGAIN_S
    assert Settings.model_fields["access_ttl_s"].default + LEEWAY_S <= RETIRE_S


def test_s11_a_file_that_is_deleted_while_it_is_read_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    SigningKeys(tmp_path).current()
    monkeypatch.setattr("servers.auth.keys.key_files", lambda _: ["jwt-0000000000.pem", "jwt-0000000001.pem"])
    assert len(SigningKeys(tmp_path).published()) == 1
