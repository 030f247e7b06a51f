"""A stand-in for Google's Terraform provider, which the real Terraform talks to: the same resources, made of nothing.

What a resource may have comes from schema.json, so Terraform itself refuses what the provider would. It speaks protocol
5 (https://github.com/hashicorp/terraform/tree/main/docs/plugin-protocol) as far as plan, apply and destroy need it, on
a server that Terraform is told of in TF_REATTACH_PROVIDERS, as for a provider under a debugger.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import msgpack
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ADDRESS = "hashicorp/google"
# A value that is known after apply (protocol 5's object-wire-format.md: any MessagePack extension)
UNKNOWN = msgpack.ExtType(0, b"\0")
LIST_OF_BLOCKS = 2
# Changed, these have the resource made anew, as for most of Google's
LASTING = {"name", "location", "bucket", "project", "repository_id", "account_id", "role", "member", "ip_cidr_range"}

_FORMS = {
    "Value": "msgpack:bytes:1",
    "Attribute": "name:string:1 type:bytes:2 required:bool:4 optional:bool:5 computed:bool:6",
    "Nested": "type_name:string:1 block:Block:2 nesting:int32:3 min_items:int64:4 max_items:int64:5",
    "Block": "version:int64:1 attributes:*Attribute:2 block_types:*Nested:3",
    "Schema": "version:int64:1 block:Block:2",
    "NamedSchema": "key:string:1 value:Schema:2",
    "Schemas": "provider:Schema:1 resource_schemas:*NamedSchema:2",
    "Diagnostic": "severity:int32:1 summary:string:2 detail:string:3",
    "Step": "attribute_name:string:1",
    "Path": "steps:*Step:1",
    "RawState": "json:bytes:1",
    "Nothing": "",
    "Config": "config:Value:1",
    "Upgrade": "type_name:string:1 version:int64:2 raw_state:RawState:3",
    "Read": "type_name:string:1 state:Value:2",
    "State": "state:Value:1",
    "Plan": "type_name:string:1 prior:Value:2 proposed:Value:3 config:Value:4",
    "Planned": "state:Value:1 requires_replace:*Path:2",
    "Apply": "type_name:string:1 prior:Value:2 planned:Value:3 config:Value:4",
    "Applied": "state:Value:1 private:bytes:2 diagnostics:*Diagnostic:3",
}


def _messages() -> dict[str, Any]:
    """The protocol's messages, as far as they are used, made from `_FORMS`: name:type:number, * for repeated."""
    field = descriptor_pb2.FieldDescriptorProto
    kinds = {
        "bytes": field.TYPE_BYTES, "string": field.TYPE_STRING, "bool": field.TYPE_BOOL, "int32": field.TYPE_INT32,
        "int64": field.TYPE_INT64,
    }  # fmt: skip
    file = descriptor_pb2.FileDescriptorProto(name="stand_in.proto", package="stand_in", syntax="proto3")
    for message, form in _FORMS.items():
        made = file.message_type.add(name=message)
        for part in form.split():
            name, kind, number = part.split(":")
            label = field.LABEL_REPEATED if kind.startswith("*") else field.LABEL_OPTIONAL
            plain = kind.lstrip("*")
            added = made.field.add(name=name, number=int(number), label=label)
            added.type = kinds.get(plain, field.TYPE_MESSAGE)
            if plain not in kinds:
                added.type_name = f".stand_in.{plain}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"stand_in.{name}")) for name in _FORMS}


M = _messages()


class StandInProvider:
    """The provider's side of the protocol.

    Args:
        schemas: what each resource may have, as in schema.json.
        refused: the address-like name (its `name`, `account_id` or `role`) of a resource that cannot be made.
    """

    def __init__(self, schemas: Mapping[str, Any], refused: str | None = None):
        self._schemas = schemas
        self.refused = refused

    def schema(self, request: Any) -> Any:
        provider = {"arguments": {name: {"type": "string"} for name in ("project", "region")}, "blocks": {}}
        return M["Schemas"](
            provider=M["Schema"](block=_block(provider)),
            resource_schemas=[
                M["NamedSchema"](key=name, value=M["Schema"](block=_block(each, _computed(each))))
                for name, each in self._schemas.items()
            ],
        )

    def prepare(self, request: Any) -> Any:
        return M["State"](state=request.config)

    def nothing(self, request: Any) -> Any:
        return M["Nothing"]()

    def upgrade(self, request: Any) -> Any:
        return M["State"](state=_packed(json.loads(request.raw_state.json)))

    def read(self, request: Any) -> Any:
        return M["State"](state=request.state)

    def plan(self, request: Any) -> Any:
        prior, proposed = _unpacked(request.prior), _unpacked(request.proposed)
        if proposed is None:
            return M["Planned"](state=request.proposed)
        lasting = [name for name in LASTING if prior and name in prior and prior[name] != proposed[name]]
        if prior is None or lasting:
            for name in _computed(self._schemas[request.type_name]):
                if proposed[name] is None or lasting:
                    proposed[name] = UNKNOWN
        paths = [M["Path"](steps=[M["Step"](attribute_name=name)]) for name in lasting]
        return M["Planned"](state=_packed(proposed), requires_replace=paths)

    def apply(self, request: Any) -> Any:
        planned = _unpacked(request.planned)
        if planned is None:
            return M["Applied"](state=request.planned)
        if self.refused and self.refused in (planned.get(key) for key in ("name", "account_id", "role")):
            told = M["Diagnostic"](severity=1, summary=f"Error 403: no leave to make {self.refused}")
            return M["Applied"](state=request.prior, diagnostics=[told])
        made = _made(request.type_name, planned)
        unknown = {name: made.get(name, "made") for name, value in planned.items() if value == UNKNOWN}
        return M["Applied"](state=_packed({**planned, **unknown}))


def _made(kind: str, planned: Mapping[str, Any]) -> dict[str, str]:
    """What Google makes of the given, as far as the files read it."""
    project, name, region = (planned.get(key) for key in ("project", "name", "region"))
    if kind == "google_service_account":
        email = f"{planned['account_id']}@{project}.iam.gserviceaccount.com"
        path = f"projects/{project}/serviceAccounts/{email}"
        return {"email": email, "member": f"serviceAccount:{email}", "name": path, "id": path}
    if kind == "google_artifact_registry_repository":
        return {"name": str(planned["repository_id"]), "id": f"projects/{project}/{planned['repository_id']}"}
    if kind == "google_compute_network":
        return {"id": f"projects/{project}/global/networks/{name}"}
    if kind == "google_compute_subnetwork":
        return {"id": f"projects/{project}/regions/{region}/subnetworks/{name}"}
    return {}


def _computed(schema: Mapping[str, Any]) -> list[str]:
    """Attributes that the provider gives values; `id` may be given as well, and never is."""
    return sorted({*schema["readable"], "id"} - (set(schema["arguments"]) - {"id"}) - set(schema["blocks"]))


def _block(schema: Mapping[str, Any], computed: list[str] | None = None) -> Any:
    attributes = [
        M["Attribute"](
            name=name,
            type=_type(argument["type"]),
            required=bool(argument.get("required")),
            optional=not argument.get("required"),
        )
        for name, argument in schema["arguments"].items()
        if name not in (computed or ())
    ]
    attributes += [M["Attribute"](name=name, type=_type("string"), computed=True) for name in computed or ()]
    nested = [
        M["Nested"](
            type_name=name,
            block=_block(block),
            nesting=LIST_OF_BLOCKS,
            min_items=int(block["required"]),
            max_items=int(block["single"]),
        )
        for name, block in schema["blocks"].items()
    ]
    return M["Block"](attributes=attributes, block_types=nested)


def _type(name: str) -> bytes:
    """A type in Terraform's JSON: "string", ["list", "string"]."""
    outer, _, inner = name.rstrip(")").partition("(")
    return json.dumps([outer, inner] if inner else outer).encode()


def _unpacked(value: Any) -> Any:
    return msgpack.unpackb(value.msgpack, raw=False)


def _packed(value: Any) -> Any:
    return M["Value"](msgpack=msgpack.packb(value))


@contextmanager
def serving(provider: StandInProvider) -> Iterator[str]:
    """Serve on loopback; gives the value of TF_REATTACH_PROVIDERS."""
    methods: dict[str, tuple[str, Callable[[Any], Any]]] = {
        "GetSchema": ("Nothing", provider.schema),
        "PrepareProviderConfig": ("Config", provider.prepare),
        "ValidateResourceTypeConfig": ("Nothing", provider.nothing),
        "Configure": ("Nothing", provider.nothing),
        "UpgradeResourceState": ("Upgrade", provider.upgrade),
        "ReadResource": ("Read", provider.read),
        "PlanResourceChange": ("Plan", provider.plan),
        "ApplyResourceChange": ("Apply", provider.apply),
        "Stop": ("Nothing", provider.nothing),
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda request, context, answer=answer: answer(request),
            request_deserializer=M[kind].FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )
        for name, (kind, answer) in methods.items()
    }
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tfplugin5.Provider", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    reattach = {
        "Protocol": "grpc",
        "ProtocolVersion": 5,
        "Pid": os.getpid(),
        "Test": True,
        "Addr": {"Network": "tcp", "String": f"127.0.0.1:{port}"},
    }
    try:
        yield json.dumps({ADDRESS: reattach})
    finally:
        server.stop(None).wait(5)
