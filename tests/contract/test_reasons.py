"""The reasons of errors are the closed list of the contract, each with the status it promises."""

import importlib
import pkgutil
import re

import servers
from servers.domain.errors import VenueError
from tests.contract.descriptors import files
from venue.error.v1 import reason_pb2

PREFIX = "REASON_"
# Modules whose import does something.
STARTED = {"servers.main", "servers.cli"}


def import_everything() -> None:
    for module in pkgutil.walk_packages(servers.__path__, "servers."):
        if module.name not in STARTED:
            importlib.import_module(module.name)


def classes() -> list[type[VenueError]]:
    """Every class of ours that is raised as it is."""
    import_everything()
    waiting: list[type[VenueError]] = VenueError.__subclasses__()
    found: list[type[VenueError]] = []
    while waiting:
        kind = waiting.pop()
        waiting.extend(kind.__subclasses__())
        if "reason" in vars(kind) and kind.__module__.startswith("servers."):
            found.append(kind)
    return found


def test_every_reason_has_a_class_and_every_class_its_reason() -> None:
    promised = {name.removeprefix(PREFIX) for name, number in reason_pb2.Reason.items() if number}
    assert {kind.reason for kind in classes()} == promised


def test_a_reason_belongs_to_one_class() -> None:
    reasons = sorted(kind.reason for kind in classes())
    assert reasons == sorted(set(reasons))


def test_the_status_is_the_one_the_comment_promises() -> None:
    (file,) = [file for file in files() if file.package == "venue.error.v1"]
    promised = {}
    for location in file.source_code_info.location:
        match list(location.path):
            case [5, 0, 2, number] if number:
                code = re.match(r"\s*\[(\w+)\]", location.leading_comments)
                assert code is not None, location.leading_comments
                promised[file.enum_type[0].value[number].name.removeprefix(PREFIX)] = code[1]
    assert {kind.reason: kind.code for kind in classes()} == promised
