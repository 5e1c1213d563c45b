"""Generates the clients of other languages from the descriptor image and compiles them: `sdk.py [LANGUAGE ...]`.

Go, Java, Rust, C++ by the standard plugins of each, TypeScript as the npm package; `tools` are grpcurl and grpcui. What is made
is never in git: it lies in `build/sdk`, in `sdk/go/gen` and in `sdk/typescript/dist`. A language whose tools are not on this
machine is named in one line and left out; one that has its tools and fails ends the run.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from google.protobuf import descriptor_pb2

ROOT = Path(__file__).resolve().parent.parent
SDK = ROOT / "sdk"
OUT = ROOT / "build" / "sdk"
BIN = OUT / "bin"
NODE = ROOT / ".venv" / "node"
IMAGE = ROOT / "gen" / "venue.binpb"
GO_PLUGINS: Final = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2",
)
# Maven brings protoc itself. The plugin for gRPC comes with the system (Debian: protobuf-compiler-grpc-java-plugin).
PROTOC: Final = "com.google.protobuf:protoc:4.36.2"
STEP_S: Final = 1200.0


class Missing(Exception):
    """A tool that this machine does not have."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(*command: "str | Path", cwd: Path = ROOT, further: dict[str, str] | None = None) -> None:
    """Raises SystemExit with the end of what a failed step printed."""
    path = os.pathsep.join([str(BIN), str(NODE), os.environ["PATH"]])
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | {"PATH": path} | (further or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=STEP_S,
        check=False,
    )
    if done.returncode:
        sys.exit(f"sdk: {' '.join(str(part) for part in command)[:200]}\n{done.stdout[-4000:]}")


def needed(*tools: str) -> None:
    """Raises Missing."""
    absent = [tool for tool in tools if shutil.which(tool) is None]
    if absent:
        raise Missing(f"no {', '.join(absent)} on PATH")


def image(name: str, package: Callable[[str], str], option: str) -> tuple[Path, list[str]]:
    """The contract for callers with a package option in each of its files, as such plugins want it; and the files' names.

    The contract itself names no language. What servers say to each other is left out.
    """
    files = descriptor_pb2.FileDescriptorSet.FromString(IMAGE.read_bytes())
    mine = [file for file in files.file if file.name.startswith(("venue/", "buf/"))]
    for file in mine:
        setattr(file.options, option, package(file.package))
        file.options.java_multiple_files = True
    path = OUT / f"{name}.binpb"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(files.SerializeToString(deterministic=True))
    return path, [file.name for file in mine if not file.name.startswith("venue/engine/")]


def anew(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def typescript() -> None:
    if not (NODE / "npm").exists():
        raise Missing("no Node in the environment")
    folder = SDK / "typescript"
    installed, lock = folder / "node_modules" / ".package-lock.json", folder / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        run(NODE / "npm", "ci", "--loglevel=error", "--fetch-retries=1", cwd=folder)
        installed.touch()
    run(NODE / "npm", "run", "--silent", "build", cwd=folder)


def go() -> None:
    needed("go")
    for plugin in GO_PLUGINS:
        if not (BIN / plugin.rpartition("/")[2].partition("@")[0]).exists():
            run("go", "install", plugin, further={"GOBIN": str(BIN)})
    # orderv1 of venue.order.v1, as Go names packages.
    described, names = image(
        "go",
        lambda package: f"venue.local/sdk/gen/{package.replace('.', '/')};{''.join(package.split('.')[1:])}",
        "go_package",
    )
    out = anew(SDK / "go" / "gen")
    prefix = "module=venue.local/sdk/gen"
    protoc = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", f"--descriptor_set_in={described}"]
    run(*protoc, f"--go_out={out}", f"--go_opt={prefix}", f"--go-grpc_out={out}", f"--go-grpc_opt={prefix}", *names)
    run("go", "build", "./...", cwd=SDK / "go")
    run("go", "build", "-o", OUT / "go" / "conformance", "./conformance", cwd=SDK / "go")


def java() -> None:
    needed("java", "javac", "mvn", "grpc_java_plugin")
    if not list(BIN.glob("protoc-[0-9]*")):
        run("mvn", "-q", "-B", "dependency:copy", f"-Dartifact={PROTOC}:exe:{platform()}", f"-DoutputDirectory={BIN}")
    protoc = next(BIN.glob("protoc-[0-9]*"))
    protoc.chmod(0o755)
    described, names = image("java", lambda package: package, "java_package")
    out = anew(OUT / "java" / "generated")
    plugin = f"--plugin=protoc-gen-grpc-java={shutil.which('grpc_java_plugin')}"
    run(protoc, f"--descriptor_set_in={described}", plugin, f"--java_out={out}", f"--grpc-java_out={out}", *names)
    goals = ["compile", "dependency:copy-dependencies", f"-DoutputDirectory={OUT / 'java' / 'lib'}"]
    run("mvn", "-q", "-B", "-f", SDK / "java" / "pom.xml", *goals)


def platform() -> str:
    """As Maven names it."""
    system, machine = os.uname().sysname, os.uname().machine
    names = {"arm64": "aarch_64", "aarch64": "aarch_64"}
    return f"{'osx' if system == 'Darwin' else 'linux'}-{names.get(machine, 'x86_64')}"


def rust() -> None:
    needed("cargo")
    run("cargo", "build", "--quiet", cwd=SDK / "rust", further={"CARGO_TARGET_DIR": str(OUT / "rust")})


def cpp() -> None:
    needed("cmake", "c++", "protoc", "grpc_cpp_plugin", "pkg-config")
    if subprocess.run(["pkg-config", "--exists", "grpc++", "protobuf"], check=False).returncode:
        raise Missing("no libraries of gRPC and protobuf for C++")
    described, names = image("cpp", lambda package: package, "java_package")
    out = anew(OUT / "cpp" / "generated")
    # Googleapis' own messages come with it: the libraries do not bring them.
    names += ["google/api/annotations.proto", "google/api/http.proto", "google/api/httpbody.proto"]
    names += ["google/rpc/status.proto", "google/rpc/error_details.proto"]
    plugin = f"--plugin=protoc-gen-grpc={shutil.which('grpc_cpp_plugin')}"
    run("protoc", f"--descriptor_set_in={described}", plugin, f"--cpp_out={out}", f"--grpc_out={out}", *names)
    run("cmake", "-S", SDK / "cpp", "-B", OUT / "cpp" / "build", f"-DGENERATED={out}")
    run("cmake", "--build", OUT / "cpp" / "build", "-j", "2")


def tools() -> None:
    # As a module of its own: `go install` of grpcui by its version asks the proxy for a list that the proxy does not have.
    needed("go")
    run("go", "install", "tool", cwd=SDK / "tools", further={"GOBIN": str(BIN)})


LANGUAGES: Final[dict[str, Callable[[], None]]] = {
    "typescript": typescript,
    "go": go,
    "java": java,
    "rust": rust,
    "cpp": cpp,
    "tools": tools,
}


def main(asked: Iterable[str]) -> None:
    for name in asked:
        begun = time.monotonic()
        try:
            LANGUAGES[name]()
        except Missing as why:
            say(f"sdk: {name}: left out, {why}")
        else:
            done = "installed" if name == "tools" else "generated and compiled"
            say(f"sdk: {name}: {done}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(LANGUAGES):
        sys.exit(f"sdk: {', '.join(sorted(unknown))}? One of {', '.join(LANGUAGES)}")
    main(sys.argv[1:] or LANGUAGES)
