"""Turns `proto/` into `gen/`: Python, types, TypeScript, OpenAPI and the descriptor image. Run by the generator environment.

`generate.py` writes, `generate.py --check` compares what it would write with what lies there. Both write into a
temporary folder first, so what has no source any more disappears, and a failure leaves `gen/` as it was.
"""

import filecmp
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import grpc_tools
import openapi
from google.protobuf import descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "tests" / "e2e" / "node" / "node_modules" / ".bin" / "protoc-gen-es"
VALIDATE = "buf/validate/validate.proto"
# Error details reach a JSON body only when the image that Envoy reads knows their types.
DETAILS = ("google/rpc/error_details.proto", "google/rpc/status.proto")
HTTP = ("google/api/annotations.proto", "google/api/http.proto", "google/api/httpbody.proto")


def write_validate_descriptor(path: Path) -> None:
    """The protovalidate wheel has the constraints as a descriptor only; protoc reads it in place of the source."""
    files = descriptor_pb2.FileDescriptorSet()
    for module in (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    files.file.add().ParseFromString(bytes(validate_pb.desc().proto.to_binary()))
    path.write_bytes(files.SerializeToString(deterministic=True))


def protoc(validate: Path, *arguments: str) -> None:
    """Raises SystemExit when protoc refuses; what it said stands on stderr."""
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "grpc_tools.protoc",
        "-Iproto",
        f"-I{sysconfig.get_path('purelib')}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        f"--descriptor_set_in={validate}",
        *arguments,
    ]
    path = os.pathsep.join([str(Path(sys.executable).parent), str(ROOT / ".venv" / "node"), os.environ["PATH"]])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PATH": path}, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def generate(out: Path, sources: list[str]) -> None:
    """Write everything into the empty folder `out`."""
    python = out / "python"
    python.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        validate = Path(scratch) / "validate.binpb"
        write_validate_descriptor(validate)
        protoc(
            validate,
            f"--python_out={python}",
            f"--grpc_python_out={python}",
            f"--mypy_out=quiet:{python}",
            f"--mypy_grpc_out=quiet:{python}",
            *sources,
        )
        protoc(validate, f"--python_out={python}", f"--mypy_out=quiet:{python}", VALIDATE)
        protoc(
            validate,
            "--include_imports",
            "--include_source_info",
            f"--descriptor_set_out={out / 'venue.binpb'}",
            *sources,
            *DETAILS,
        )
        if PLUGIN.exists():
            typescript = out / "typescript"
            typescript.mkdir()
            protoc(
                validate,
                f"--plugin=protoc-gen-es={PLUGIN}",
                f"--es_out={typescript}",
                "--es_opt=target=ts,import_extension=js",
                *sources,
                VALIDATE,
                *HTTP,
                *DETAILS,
            )
    mark_packages(python)
    (out / "openapi").mkdir()
    for name, text in openapi.documents((out / "venue.binpb").read_bytes()).items():
        (out / "openapi" / name).write_text(text, encoding="utf-8")


def mark_packages(python: Path) -> None:
    """`venue` and `buf` become ordinary typed packages, found alike by Python, mypy and the wheel."""
    for package in ("venue", "buf"):
        folders = [python / package, *(path for path in (python / package).rglob("*") if path.is_dir())]
        for folder in folders:
            (folder / "__init__.py").write_text('"""Generated from the contract by `make gen`."""\n')
        (python / package / "py.typed").touch()


def files_below(folder: Path) -> set[str]:
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def differences(fresh: Path, kept: Path) -> list[str]:
    """Names that are missing, stale or different. TypeScript counts only where its plugin is installed."""
    names = files_below(fresh) | files_below(kept)
    if not PLUGIN.exists():
        names = {name for name in names if not name.startswith("typescript/")}
    return sorted(
        name
        for name in names
        if not (fresh / name).is_file()
        or not (kept / name).is_file()
        or not filecmp.cmp(fresh / name, kept / name, shallow=False)
    )


def main() -> None:
    proto = ROOT / "proto"
    sources = sorted(str(path.relative_to(proto)) for path in proto.rglob("*.proto"))
    if not sources:
        sys.exit("gen: no .proto files below proto/")
    kept = ROOT / "gen"
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "gen"
        generate(fresh, sources)
        changed = differences(fresh, kept)
        if "--check" in sys.argv[1:]:
            if changed:
                sys.exit("gen is not what proto/ makes, run make gen: " + ", ".join(changed))
            return
        # File by file: programs and editors that have gen/ open keep seeing a whole tree.
        for name in changed:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            if (fresh / name).is_file():
                shutil.copyfile(fresh / name, kept / name)
            else:
                (kept / name).unlink()
    said = "" if PLUGIN.exists() else " (no TypeScript: its plugin is not installed)"
    sys.stdout.write(f"gen: {len(sources)} protos, {len(changed)} files changed{said}\n")


if __name__ == "__main__":
    main()
