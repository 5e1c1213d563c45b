"""A venue whose database lies on a disk of a few megabytes: a mount of its own, in a namespace that any user may make."""

import os
import subprocess
from pathlib import Path
from typing import Final

from servers.embedded import postgres
from tests.chaos.driver import Venue
from tests.servers import IN_A_HURRY

NAMESPACE: Final = ("unshare", "--user", "--map-root-user", "--mount")
SIZE_MB: Final = 160
# The server is started again and again, as a supervisor does; the disk is there for as long as the shell is.
SCRIPT: Final = """
mount -t tmpfs -o size="$1"m,mode=700 tmpfs "$2" && cp -a "$3"/. "$2" || exit 9
shift 3
trap 'over=1; kill -INT $server' INT TERM
until [ "$over" ]; do "$@" & server=$!; wait $server; sleep 0.1; done
wait
"""


def possible(folder: Path) -> bool:
    """Whether this system lets anybody mount a file system of his own."""
    there = folder / "probe"
    there.mkdir()
    script = f"mount -t tmpfs -o size=1m tmpfs {there}"
    try:
        return subprocess.run([*NAMESPACE, "sh", "-c", script], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class SmallDisk(Venue):
    """Its disk can be filled and emptied."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.disk = folder / "disk"
        self.disk.mkdir()

    def _postgres_command(self) -> list[str]:
        settings = {**IN_A_HURRY, "max_wal_size": "64MB", "min_wal_size": "32MB"}
        plain = postgres.command(self.disk, self._postgres_port, self._folder / "postgres.pid", settings)
        bare = plain[len(postgres.ordinary_user()) :]
        ordinary = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
        script = ["sh", "-c", SCRIPT, "disk", str(SIZE_MB), str(self.disk), str(self._folder / "pg")]
        return [*NAMESPACE, *script, *ordinary, *bare]

    @property
    def filler(self) -> Path:
        """A file on the disk, seen from outside of its namespace: by the shell, which lives while servers come and go."""
        return Path(f"/proc/{self.postgres.pid}/root{self.disk}/filler")

    def fill(self) -> None:
        """Leave not a block."""
        with self.filler.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        os.write(file.fileno(), bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        self.filler.unlink()
