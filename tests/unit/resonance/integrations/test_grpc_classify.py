# SPDX-License-Identifier: MIT
"""What the end of an RPC means, and what is known about a method."""

from __future__ import annotations

from pathlib import Path

import grpc
import grpc.aio
import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto, MethodOptions

from fakes.grpc_replicas import EchoStub, GrpcReplica
from resonance import TaskHint
from resonance.errors import PolicyError
from resonance.integrations.grpc._classify import Classifier
from resonance.integrations.grpc._methods import check_names, hint_of
from resonance.policies import Failure
from resonance_api.hints.v1 import hints_pb2  # noqa: F401 -- registers its methods

Code = grpc.StatusCode
NOT_CONNECTED = (
    "failed to connect to all addresses; last error: UNKNOWN: "
    "ipv4:127.0.0.1:1: Failed to connect to remote host: Connection refused"
)


def error(
    code: Code, details: str = "", *trailing: tuple[str, str | bytes]
) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details)


def test_a_reply_is_no_failure() -> None:
    assert Classifier()(b"reply") is None


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED])
def test_what_another_attempt_may_cure_is_retriable(code: Code) -> None:
    assert Classifier()(error(code)) == Failure("retriable")


@pytest.mark.parametrize(
    "code", [each for each in Code if each not in {Code.UNAVAILABLE, Code.RESOURCE_EXHAUSTED}]
)
def test_nothing_else_is(code: Code) -> None:
    assert Classifier()(error(code)) == Failure("fatal")


def test_which_codes_those_are_can_be_told() -> None:
    classify = Classifier(codes={Code.ABORTED})
    assert classify(error(Code.ABORTED)) == Failure("retriable")
    assert classify(error(Code.UNAVAILABLE)) == Failure("fatal")


@pytest.mark.parametrize("failure", [grpc.RpcError(), grpc.FutureCancelledError(), ValueError()])
def test_what_tells_no_status_is_fatal(failure: Exception) -> None:
    assert Classifier()(failure) == Failure("fatal")


@pytest.mark.parametrize(
    ("told", "pushback", "stop"),
    [("50", 0.05, False), ("0", 0.0, False), ("-1", None, True), ("soon", None, True)],
)
def test_pushback_is_taken_from_trailing_metadata(
    told: str, pushback: float | None, stop: bool
) -> None:
    failure = error(Code.UNAVAILABLE, "", ("grpc-retry-pushback-ms", told))
    assert Classifier()(failure) == Failure("retriable", pushback, stop)


def test_pushback_does_not_make_a_fatal_code_retriable() -> None:
    failure = error(Code.NOT_FOUND, "", ("grpc-retry-pushback-ms", "50"))
    assert Classifier()(failure) == Failure("fatal")


def test_what_a_server_says_it_never_began_was_not_sent() -> None:
    failure = error(Code.RESOURCE_EXHAUSTED, "", ("resonance-reason", "queue_full"))
    assert Classifier()(failure) == Failure("unsent")


def test_a_reason_nobody_knows_proves_nothing() -> None:
    failure = error(Code.RESOURCE_EXHAUSTED, "", ("resonance-reason", "mood"))
    assert Classifier()(failure) == Failure("retriable")


def test_what_could_not_be_connected_to_its_own_address_was_not_sent() -> None:
    assert Classifier("127.0.0.1:1")(error(Code.UNAVAILABLE, NOT_CONNECTED)) == Failure("unsent")


@pytest.mark.parametrize("address", [None, "127.0.0.1:2", "127.0.0.1:11", "localhost:1", "name"])
def test_an_error_that_names_another_address_may_have_been_handed_on(address: str | None) -> None:
    failure = Classifier(address)(error(Code.UNAVAILABLE, NOT_CONNECTED))
    assert failure == Failure("retriable")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:{port}",
        "ipv4:127.0.0.1:{port}",
        "unix:{path}/none",
        "unix:{path}/no ne",
        "unix://{path}/none",
    ],
)
def test_grpc_itself_writes_it_so(address: str, free_port: int, public_directory: Path) -> None:
    address = address.format(port=free_port, path=public_directory)
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
        EchoStub(channel).Get(b"", timeout=20)
    assert Classifier(address)(caught.value) == Failure("unsent")


def test_what_a_server_died_of_may_have_been_done() -> None:
    with GrpcReplica() as replica, grpc.insecure_channel(replica.address) as channel:
        replica.behaviour = lambda message, context: context.abort(Code.UNAVAILABLE, NOT_CONNECTED)
        with pytest.raises(grpc.RpcError) as caught:
            EchoStub(channel).Get(b"", timeout=20)
    assert Classifier(replica.address)(caught.value) == Failure("retriable")


def test_nothing_is_known_of_a_method_nobody_spoke_of() -> None:
    assert hint_of("/test.Echo/Get", {}) == TaskHint()


def test_a_method_is_known_by_its_path_before_its_name() -> None:
    methods = {"Get": TaskHint(id="name"), "/test.Echo/Get": TaskHint(id="path")}
    assert hint_of("/test.Echo/Get", methods).id == "path"
    assert hint_of("/other.Echo/Get", methods).id == "name"


def test_what_the_proto_says_of_idempotence_is_believed() -> None:
    file = FileDescriptorProto(
        name="test/idempotence.proto", package="test.idempotence", syntax="proto3"
    )
    file.message_type.add(name="Nothing")
    service = file.service.add(name="Store")
    nothing = ".test.idempotence.Nothing"
    for name, level in (
        ("Read", MethodOptions.NO_SIDE_EFFECTS),
        ("Put", MethodOptions.IDEMPOTENT),
        ("Add", MethodOptions.IDEMPOTENCY_UNKNOWN),
    ):
        method = service.method.add(name=name, input_type=nothing, output_type=nothing)
        method.options.idempotency_level = level
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    paths = {name: f"/test.idempotence.Store/{name}" for name in ("Read", "Put", "Add")}
    assert hint_of(paths["Read"], {}).idempotent
    assert hint_of(paths["Put"], {"Put": TaskHint(importance="high")}).idempotent
    assert hint_of(paths["Put"], {"Put": TaskHint(idempotent=False)}).idempotent is False
    assert hint_of(paths["Add"], {}).idempotent is None


def test_what_the_proto_does_not_say_is_not_known() -> None:
    assert hint_of("/resonance.hints.v1.Hints/Get", {}).idempotent is None


def test_a_hint_for_a_method_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(PolicyError, match="methods\\['Gte'\\]: is no method; there are Get, Put"):
        check_names({"Gte": TaskHint()}, ["/test.Echo/Get", "/test.Echo/Put"])
