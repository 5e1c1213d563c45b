"""The state folder: what lies where, who may read it, and whether a venue runs on it.

Everything in it belongs to its owner alone. The lock is held by the supervisor for as long as it lives, whatever kills
it, so it cannot be left over the way a pid file can.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from servers.embedded.errors import StartError

FOLDERS = ("log", "run", "secrets", "mailbox")
SECRET_BYTES = 32


def draw() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(SECRET_BYTES)


@dataclass(frozen=True, slots=True)
class State:
    """Paths inside the state folder."""

    given: Path

    @property
    def root(self) -> Path:
        return self.given.expanduser().resolve()

    @property
    def pg(self) -> Path:
        return self.root / "pg"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    @property
    def endpoints(self) -> Path:
        return self.root / "endpoints"

    @property
    def tls(self) -> Path:
        return self.root / "tls"

    @property
    def logins(self) -> Path:
        return self.root / "secrets" / "logins.json"

    def log(self, process: str) -> Path:
        return self.root / "log" / f"{process}.log"

    def pid_file(self, process: str) -> Path:
        return self.root / "run" / f"{process}.pid"

    def create(self) -> None:
        """Make the folders that are missing, closed to everybody but their owner."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for name in FOLDERS:
            (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def secret(self, name: str, make: Callable[[], str] = draw) -> str:
        """The secret of that name, made on first use. Two processes that ask at once get the same one."""
        self.create()
        path = self.root / "secrets" / name
        if not path.exists():
            made = path.with_name(f".{name}.{os.getpid()}")
            with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(make())
            with suppress(FileExistsError):
                path.hardlink_to(made)
            made.unlink()
        return path.read_text()

    def replace_secret(self, name: str, text: str) -> None:
        """Write another text in place of a secret; whoever reads meanwhile gets the old or the new one."""
        path = self.root / "secrets" / name
        made = path.with_name(f".{name}.{os.getpid()}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        made.replace(path)

    def pid(self, process: str) -> int | None:
        """The process id in the pid file, None where there is none."""
        try:
            return int(self.pid_file(process).read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return None

    def lock(self) -> int:
        """Take the lock of a running venue. Returns its descriptor, which a child may inherit.

        Raises StartError where a venue runs on this folder.
        """
        self.create()
        descriptor = os.open(self.root / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise StartError(f"a venue is running on {self.given}: stop it with `make down`") from None
        return descriptor

    def is_locked(self) -> bool:
        """Whether a venue runs on this folder."""
        if not (self.root / "run" / "lock").exists():
            return False
        try:
            os.close(self.lock())
        except StartError:
            return True
        return False

    def wipe(self) -> bool:
        """Delete the folder and all that is in it. Returns whether there was one.

        Raises StartError where a venue runs on it, or where the folder is not one of ours.
        """
        if not self.root.exists():
            return False
        if any(self.root.iterdir()) and not all((self.root / name).is_dir() for name in FOLDERS):
            raise StartError(f"{self.given} does not look like a state folder of venue: not deleted")
        descriptor = self.lock()
        try:
            shutil.rmtree(self.root)
        finally:
            os.close(descriptor)
        return True
