"""Reflection under both of its names: tools ask for `v1` first, older ones know `v1alpha` alone. They differ in nothing else.

What the library has is `v1alpha`; its description under the other name is made here, so that tools can look at that one too.
"""

from collections.abc import Iterable
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection, reflection_pb2

from servers.transport.core import Route

OLD, NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"
NAMES: Final = (reflection.SERVICE_NAME, reflection.SERVICE_NAME.replace(OLD, NEW))


def renamed() -> DescriptorPool:
    """The description of `v1`. In a pool of its own: somebody else may bring it into the common one some day."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = "grpc/reflection/v1/reflection.proto", NEW
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(OLD, NEW)
    for service in file.service:
        for method in service.method:
            method.input_type = method.input_type.replace(OLD, NEW)
            method.output_type = method.output_type.replace(OLD, NEW)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


class Symbols:
    """The common pool of descriptors; beside what that finds, the file of a method and the description of `v1`."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()
        self._further = renamed()

    def FindFileByName(self, name: str) -> FileDescriptor:
        """Raises KeyError."""
        try:
            return self._pool.FindFileByName(name)
        except KeyError:
            return self._further.FindFileByName(name)

    def FindFileContainingSymbol(self, name: str) -> FileDescriptor:
        """Raises KeyError."""
        for pool in (self._pool, self._further):
            try:
                return pool.FindFileContainingSymbol(name)
            except KeyError:
                continue
        return self._pool.FindMethodByName(name).containing_service.file

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  the rest is the pool's
        return getattr(self._pool, name)


def mirrors(names: Iterable[str]) -> dict[str, Route]:
    """Both methods by their path; they tell of these services and of themselves."""
    mirror: Any = reflection.aio.ReflectionServicer(service_names=[*names, *NAMES], pool=Symbols())
    handler = grpc.stream_stream_rpc_method_handler(
        mirror.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {f"/{name}/ServerReflectionInfo": handler for name in NAMES}
