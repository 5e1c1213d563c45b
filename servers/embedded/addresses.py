"""Where the embedded stores answer. Apart from their clients, which take a command longer to load than its work takes."""

from typing import Final
from urllib.parse import quote

USER: Final = "venue"
DATABASE: Final = "venue"


def postgres_url(password: str, port: int, database: str = DATABASE) -> str:
    return f"postgresql://{USER}:{quote(password, safe='')}@127.0.0.1:{port}/{database}"


def valkey_url(password: str, port: int) -> str:
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{port}/0"
