"""The supervisor: its configuration, its process, and the calls that start and watch single programs.

It starts the stores by itself; everything else waits to be started, as it needs a migrated database. Whatever dies is
started again, after 1, 2, 3 ... seconds where it does not stay up, and ten from then on.
"""

import configparser
import hashlib
import http.client
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import xmlrpc.client  # nosec B411  the supervisor is our own child, on a socket of ours
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from servers.embedded.errors import StartError
from servers.embedded.plan import MODULE, STORES, Program
from servers.embedded.state import State

# The kernel's limit for a socket's path is 108 with its end mark (104 on macOS), and the supervisor adds a suffix of its
# own while it binds.
SOCKET_PATH_MAX = 90
# Far above what is ever counted (`restarts.bound`): no program is given up.
RETRIES = 1000
# Longer than a server takes to load its code, so that one that cannot start is recognized as such and waits between tries.
STAYS_UP_S = "5"
DEAD = {"BACKOFF", "EXITED", "FATAL", "UNKNOWN"}


@dataclass(frozen=True, slots=True)
class ProgramState:
    """What the supervisor knows of a program: RUNNING, STARTING, STOPPED, BACKOFF, EXITED, FATAL ..., and its process."""

    name: str
    state: str
    pid: int

    @property
    def died(self) -> bool:
        return self.state in DEAD


def socket_path(state: State) -> Path:
    """Where the supervisor listens: in the state folder, or in a private folder of its own where that path is too long.

    Raises StartError where somebody else made that folder.
    """
    path = state.root / "run" / "supervisor.sock"
    if len(str(path)) <= SOCKET_PATH_MAX:
        return path
    folder = Path(tempfile.gettempdir()) / f"venue-{hashlib.sha256(str(state.root).encode()).hexdigest()[:16]}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise StartError(f"{folder} is not a private folder of yours: remove it")
    return folder / "supervisor.sock"


def configuration(state: State, programs: Sequence[Program]) -> str:
    """The supervisor's configuration file; `%` is its own mark and doubled everywhere else."""
    settings = configparser.RawConfigParser()
    settings["supervisord"] = {
        "nodaemon": "true",
        "silent": "true",
        "pidfile": escaped(str(state.pid_file("supervisor"))),
        "logfile": escaped(str(state.log("supervisor"))),
        "logfile_maxbytes": "0",
        "umask": "077",
    }
    if os.geteuid() == 0:
        # Without it the supervisor complains that it has not become somebody else.
        settings["supervisord"]["user"] = "root"
    settings["unix_http_server"] = {"file": escaped(str(socket_path(state))), "chmod": "0600"}
    settings["rpcinterface:supervisor"] = {
        "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
    }
    settings["rpcinterface:preload"] = {
        "supervisor.rpcinterface_factory": "servers.embedded.preload:make",
        "module": MODULE,
    }
    # After the one that says how a program begins, which it gives a log first.
    settings["rpcinterface:logs"] = {
        "supervisor.rpcinterface_factory": "servers.embedded.logs:make",
        "folder": escaped(str(state.log("supervisor").parent)),
    }
    settings["rpcinterface:restarts"] = {"supervisor.rpcinterface_factory": "servers.embedded.restarts:make"}
    for program in programs:
        settings[f"program:{program.name}"] = {
            "command": escaped(shlex.join(program.command)),
            "priority": str(program.priority),
            "autostart": "true" if program.priority == STORES else "false",
            "autorestart": "true",
            "startsecs": STAYS_UP_S,
            "startretries": str(RETRIES),
            "stopsignal": program.stop_signal,
            "stopwaitsecs": str(program.stop_wait_s),
            "redirect_stderr": "true",
            "stdout_logfile": "NONE",
            "environment": written(program.environment),
        }
    path = state.root / "supervisor.conf"
    path.touch(mode=0o600)
    with path.open("w", encoding="utf-8") as file:
        settings.write(file)
    return str(path)


def written(environment: Mapping[str, str]) -> str:
    """Variables as the supervisor reads them: it knows two kinds of quotes and no way to put one kind into itself."""
    pairs = []
    for name, value in environment.items():
        quote = "'" if '"' in value else '"'
        assert quote not in value, name
        pairs.append(f"{name}={quote}{escaped(value)}{quote}")
    return ",".join(pairs)


def escaped(text: str) -> str:
    return text.replace("%", "%%")


def start(state: State, programs: Sequence[Program], lock: int) -> subprocess.Popen[bytes]:
    """Start the supervisor, which keeps the lock for as long as it lives.

    In a session of its own: Ctrl-C reaches the caller only, who passes it on once.
    """
    path = configuration(state, programs)
    with state.log("supervisor").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", path],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=(lock,),
        )


class LocalConnection(http.client.HTTPConnection):
    """HTTP over the supervisor's socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.settimeout(self.timeout)
        try:
            made.connect(str(self.path))
        except OSError:
            made.close()
            raise
        self.sock = made


class LocalTransport(xmlrpc.client.Transport):
    """XML-RPC over the supervisor's socket, one connection for all calls."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.connection = LocalConnection(path)

    def make_connection(self, host: tuple[str, dict[str, str]] | str) -> LocalConnection:  # noqa: ARG002  the socket is the host
        return self.connection

    def close(self) -> None:
        self.connection.close()


class Control:
    """Calls to a running supervisor."""

    def __init__(self, state: State) -> None:
        self.transport = LocalTransport(socket_path(state))
        self.server = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=self.transport)

    def close(self) -> None:
        self.transport.close()

    def is_up(self) -> bool:
        try:
            self.server.supervisor.getState()
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def is_loaded(self) -> bool:
        """Whether the supervisor has loaded the servers' code, or will not."""
        return bool(self.server.preload.done())

    def start(self, name: str) -> None:
        """Raises StartError where the program cannot even be executed."""
        try:
            self.server.supervisor.startProcess(name, False)  # noqa: FBT003  XML-RPC knows no names
        except xmlrpc.client.Fault as fault:
            raise StartError(f"{name} does not start: {fault.faultString}") from None

    def stop(self, name: str) -> None:
        """Returns at once; the program ends as its stop signal lets it."""
        self.server.supervisor.stopProcess(name, False)  # noqa: FBT003  XML-RPC knows no names

    def state(self, name: str) -> ProgramState:
        found = self.server.supervisor.getProcessInfo(name)
        if not isinstance(found, dict):
            raise TypeError(f"the supervisor answered {found!r}")
        return ProgramState(name, str(found["statename"]), int(found["pid"]))
