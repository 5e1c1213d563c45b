"""Tools that know nothing of the contract read it by reflection, and call.

grpcurl runs the very commands of docs/sdk.md, grpcui is started as that page starts it; each is skipped where it is not. What
both do when they start is done here by hand too, under both names of reflection, wherever the tests run.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2

from tests.contract.descriptors import methods
from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from venue.marketdata.v1 import marketdata_pb2

RUN_S = 60.0
STOP_S = 10.0
MIRRORS = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
TICKER = "venue.marketdata.v1.MarketDataService.GetTicker"
OPTION = "venue.option.v1.access"
Request = reflection_pb2.ServerReflectionRequest


def tool(name: str) -> str:
    """Its path. Skips where it is not."""
    found = shutil.which(name, path=os.pathsep.join([str(ROOT / "build" / "sdk" / "bin"), os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"no {name} on PATH, nor in build/sdk/bin (make sdk)")
    return found


def commands(name: str) -> list[list[str]]:
    """As the page shows them."""
    lines = (ROOT / "docs" / "sdk.md").read_text().splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith(f"$ {name} ")]


def routed() -> set[str]:
    """The services that the gateway's public port serves."""
    services = {method.containing_service.full_name for method in methods().values()}
    return {name for name in services if not name.startswith(("venue.admin.", "venue.engine."))}


class Mirror:
    """What a server says of itself under one of the two names, and all that was made of it."""

    def __init__(self, channel: grpc.Channel, name: str) -> None:
        self._ask: Any = channel.stream_stream(
            f"/{name}/ServerReflectionInfo",
            request_serializer=Request.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        self.files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self.pool = DescriptorPool()

    def ask(self, *requests: Request) -> list[Any]:
        return list(self._ask(iter(requests), timeout=RUN_S))

    def services(self) -> list[str]:
        (answer,) = self.ask(Request(list_services=""))
        return [service.name for service in answer.list_services_response.service]

    def learn(self, *requests: Request) -> None:
        """The files with these in them, and what they import."""
        for request, answer in zip(requests, self.ask(*requests), strict=True):
            assert answer.HasField("file_descriptor_response"), (request, answer)
            self._keep(answer)
        while missing := {name for file in self.files.values() for name in file.dependency} - set(self.files):
            for answer in self.ask(*(Request(file_by_filename=name) for name in sorted(missing))):
                self._keep(answer)

    def _keep(self, answer: Any) -> None:
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            self.files[file.name] = file

    def built(self) -> DescriptorPool:
        """A pool of nothing but this. Raises TypeError where something is missing in it."""
        waiting, there = dict(self.files), set[str]()
        while waiting:
            name = next(name for name, file in waiting.items() if there.issuperset(file.dependency))
            self.pool.AddSerializedFile(waiting.pop(name).SerializeToString())
            there.add(name)
        return self.pool


@pytest.fixture
def channel(venue: Venue) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(venue.target) as made:
        yield made


@pytest.mark.parametrize("name", MIRRORS)
def test_a_tool_learns_every_method_by_reflection_and_calls_one(channel: grpc.Channel, name: str) -> None:
    mirror = Mirror(channel, name)
    listed = mirror.services()
    assert set(listed) == routed() | {"grpc.health.v1.Health", *MIRRORS}
    mirror.learn(*(Request(file_containing_symbol=service) for service in listed))
    pool = mirror.built()
    learned: dict[str, MethodDescriptor] = {}
    for service in listed:
        for method in pool.FindServiceByName(service).methods:
            learned[method.full_name] = method
    contract = {each: method for each, method in methods().items() if method.containing_service.full_name in routed()}
    assert {each for each in learned if each.startswith("venue.")} == set(contract)
    for each, method in contract.items():
        found = learned[each]
        assert (found.client_streaming, found.server_streaming) == (method.client_streaming, method.server_streaming)
        for mine, theirs in ((found.input_type, method.input_type), (found.output_type, method.output_type)):
            assert [str(field) for field in described(mine)] == [str(field) for field in described(theirs)], each
    # A tool that is given a method's name asks for that; one that shows its options asks for what extends them.
    mirror.learn(Request(file_containing_symbol=TICKER))
    number = methods()[TICKER].GetOptions().DESCRIPTOR.file.pool.FindExtensionByName(OPTION).number
    extends = Request(
        file_containing_extension={"containing_type": "google.protobuf.MethodOptions", "extension_number": number}
    )
    (answer,) = mirror.ask(extends)
    assert OPTION in {
        f"{file.package}.{extension.name}"
        for raw in answer.file_descriptor_response.file_descriptor_proto
        for file in [descriptor_pb2.FileDescriptorProto.FromString(raw)]
        for extension in file.extension
    }
    (nothing,) = mirror.ask(Request(file_containing_symbol="venue.marketdata.v1.No"))
    assert nothing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]

    asked = json_format.ParseDict({"symbol": "ETH-USD"}, message_factory.GetMessageClass(learned[TICKER].input_type)())
    answers = message_factory.GetMessageClass(learned[TICKER].output_type)
    call: Any = channel.unary_unary(
        "/" + TICKER[::-1].replace(".", "/", 1)[::-1],
        request_serializer=type(asked).SerializeToString,
        response_deserializer=answers.FromString,
    )
    told = json_format.MessageToDict(call(asked, timeout=RUN_S))
    assert (told["ticker"]["symbol"], float(told["ticker"]["lastPrice"]) > 0) == ("ETH-USD", True)


def described(message: Any) -> list[descriptor_pb2.FieldDescriptorProto]:
    """Its fields, constraints and all."""
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    return list(proto.field)


def test_grpcurl_runs_the_commands_of_the_page(venue: Venue) -> None:
    path, said = tool("grpcurl"), []
    for _, *arguments in commands("grpcurl"):
        asked = [path, *(each.replace("localhost:8080", venue.target) for each in arguments)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=RUN_S, check=False)
        assert done.returncode == 0, (asked, done.stderr)
        said.append(done.stdout)
    listed, described, ticker = said
    assert set(listed.split()) == routed() | {"grpc.health.v1.Health", *MIRRORS}
    assert "rpc PlaceOrder ( .venue.order.v1.PlaceOrderRequest ) returns" in described
    assert OPTION in described
    told = json_format.Parse(ticker, marketdata_pb2.GetTickerResponse())
    assert float(told.ticker.last_price) > 0


@contextmanager
def shown(venue: Venue) -> Iterator[httpx.Client]:
    """The page of a grpcui that was started as docs/sdk.md starts it, on a port from the kernel."""
    ((_, *arguments),) = commands("grpcui")
    asked = [tool("grpcui"), "-open-browser=false", "-port=0"]
    asked += [each.replace("localhost:8080", venue.target) for each in arguments]
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stdout.read()
        with httpx.Client(base_url=found[0], timeout=RUN_S) as page:
            yield page
    finally:
        process.terminate()
        process.communicate(timeout=STOP_S)


def test_grpcui_shows_every_method_and_calls(venue: Venue) -> None:
    with shown(venue) as page:
        text = page.get("/").text
        assert routed() <= set(re.findall(r'<option value="([\w.]+)"', text))
        for method in methods():
            service, _, name = method.rpartition(".")
            if service in routed():
                asked = page.get("/metadata", params={"method": f"{service}.{name}"})
                assert asked.status_code == 200, method
                assert asked.json()["requestType"].startswith("venue."), method
        # Its page proves that it is the page.
        told = page.post(
            f"/invoke/{TICKER}",
            headers={"x-grpcui-csrf-token": page.cookies["_grpcui_csrf_token"]},
            json={"metadata": [], "data": [{"symbol": "ETH-USD"}]},
        )
        (response,) = told.json()["responses"]
        assert float(response["message"]["ticker"]["last_price"]) > 0
