"""Ids sort by time and never repeat."""

from uuid import UUID

from servers.auth.identifiers import new_id


def test_an_id_is_a_prefix_and_a_uuid_of_version_7() -> None:
    prefix, _, text = new_id("usr").partition("-")
    assert (prefix, UUID(text).version, UUID(text).variant) == ("usr", 7, "specified in RFC 4122")


def test_ids_do_not_repeat() -> None:
    assert len({new_id("ses") for _ in range(10_000)}) == 10_000
