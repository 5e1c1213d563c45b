"""Where the embedded stores answer. Apart from their clients, which take a command longer to load than its work takes."""

from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

USER: Final = "venue"
DATABASE: Final = "venue"
# Of a socket's path; macOS takes the fewest, and PostgreSQL adds its own name: "/.s.PGSQL.65535".
PATH_BYTES_MAX: Final = 103 - 15


def postgres_url(password: str, port: int, database: str = DATABASE, sockets: Path | None = None) -> str:
    """By loopback, or by the socket in a folder: two to three hundredths of a millisecond less for a statement."""
    login = f"postgresql://{USER}:{quote(password, safe='')}@"
    if sockets is None:
        return f"{login}127.0.0.1:{port}/{database}"
    return f"{login}/{database}?host={quote(str(sockets), safe='')}&port={port}"


def sockets_of(data: Path) -> Path | None:
    """The folder of a cluster's socket: the cluster's own, which is closed to others.

    None where its path is too long for one, or has what separates paths in a list of them, or quotes them there.
    """
    return data if len(bytes(data)) <= PATH_BYTES_MAX and not set(',"') & set(str(data)) else None


def beside(url: str, database: str) -> str:
    """The address of another database of the same server."""
    return urlsplit(url)._replace(path=f"/{database}").geturl()


def valkey_url(password: str, port: int) -> str:
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"
