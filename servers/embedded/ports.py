"""Whether the ports a venue needs are free, and which ones to take instead."""

import errno
import socket
from collections.abc import Mapping

from servers.embedded.errors import StartError

HIGHEST = 65535
# Browsers and Node refuse to talk to these although nothing else is wrong with them.
REFUSED_BY_BROWSERS = {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6679, 6697, 10080}


def is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # A port that is only waiting out its last connections can be listened on.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise StartError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return True


def next_free(host: str, port: int, taken: set[int]) -> int:
    """The first free port above, none of `taken`. Raises StartError where there is none."""
    for candidate in range(port + 1, HIGHEST + 1):
        if candidate not in taken and candidate not in REFUSED_BY_BROWSERS and is_free(host, candidate):
            return candidate
    raise StartError(f"no free port above {port}")


def check(host: str, ports: Mapping[str, int]) -> None:
    """Raises StartError naming each port that is busy or asked for twice, with one line to start on free ones instead."""
    seen: dict[int, str] = {}
    wrong: dict[str, str] = {}
    for variable, port in ports.items():
        if port in seen:
            wrong[variable] = f"port {port} is asked for twice: {seen[port]} and {variable}"
        elif not is_free(host, port):
            wrong[variable] = f"port {port} is busy: {variable}"
        seen.setdefault(port, variable)
    if not wrong:
        return
    taken, instead = set(ports.values()), []
    for variable in wrong:
        free = next_free(host, ports[variable], taken)
        taken.add(free)
        instead.append(f"{variable}={free}")
    raise StartError("\n".join([*wrong.values(), "free instead:", f"  {' '.join(instead)} make up"]))
