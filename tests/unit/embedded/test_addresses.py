"""Where the embedded stores answer: by a socket where its path fits, by loopback otherwise."""

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from db.session import sqlalchemy_url
from servers.embedded.addresses import beside, postgres_url, sockets_of

PASSWORD = "p/w:x@ ü"


@pytest.mark.parametrize("sockets", [None, Path("/a folder/pg")])
def test_both_drivers_read_the_address(sockets: Path | None) -> None:
    url = postgres_url(PASSWORD, 5432, sockets=sockets)
    host = "127.0.0.1" if sockets is None else str(sockets)
    told = {"host": host, "port": "5432", "user": "venue", "password": PASSWORD, "dbname": "venue"}
    assert conninfo_to_dict(url) == told
    address = sqlalchemy_url(url)
    _, arguments = address.get_dialect()().create_connect_args(address)
    assert {name: str(value) for name, value in arguments.items()} == told


@pytest.mark.parametrize("sockets", [None, Path("/a folder/pg")])
def test_another_database_of_the_same_server(sockets: Path | None) -> None:
    other = beside(postgres_url(PASSWORD, 5432, sockets=sockets), "postgres")
    assert other == postgres_url(PASSWORD, 5432, "postgres", sockets)


def test_a_socket_needs_a_short_path() -> None:
    longest = Path("/" + "x" * 87)
    assert sockets_of(longest) == longest
    assert len(f"{longest}/.s.PGSQL.65535") == 103
    assert sockets_of(Path("/" + "x" * 88)) is None
    assert sockets_of(Path("/" + "ü" * 44)) is None


@pytest.mark.parametrize("path", ["/one,two/pg", '/"one"/pg'])
def test_a_socket_is_not_where_a_list_of_paths_would_be_misread(path: str) -> None:
    assert sockets_of(Path(path)) is None
