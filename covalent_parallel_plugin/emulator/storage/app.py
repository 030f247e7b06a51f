"""Answer every request to Cloud Storage's JSON API: the ASGI application."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..faults.fault import FaultError, Faults
from ..faults.plan import FaultPlan, FaultTarget
from ..project.resources import ProjectResources
from ..resource_apis.router import PREFIXES, json_apis
from .compose import compose
from .copies import COPIES
from .downloads import download
from .faults import Connections, StorageFaults
from .metadata_handlers import ANSWERS
from .multipart import join_batch, split_batch
from .object_store import BucketStore
from .partial_answers import select_fields
from .permissions import check_permitted, tested_permissions
from .refusals import StorageRefusal
from .request_body import IncomingRequest
from .routes import Reply, StorageRequest, error_reply, identify, parse_json
from .uploads import Uploads

BODILESS_CALLS = frozenset(
    [
        *("objects.get", "objects.list", "objects.delete", "objects.move"),
        *("buckets.get", "buckets.list", "buckets.delete", "buckets.testPermissions"),
    ]
)
# The emulator's own addresses, /_emulator/counts, /_emulator/faults and /_emulator/runtime
_CONTROL = frozenset({"emulator.counts", "emulator.faults", "emulator.set_faults", "emulator.runtime"})


class StorageApp:
    """The ASGI application: every request is identified and counted in `__call__`, then answered.

    `__call__` is the one place that all requests pass, so it is where faults strike.
    """

    def __init__(
        self,
        store: BucketStore,
        counts: Counter[str],
        plan: FaultPlan,
        connections: Connections,
        other_counts: Callable[[], Mapping[str, Any]],
        known: ProjectResources,
        runtime: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._known = known
        self._runtime = runtime
        self._store = store
        self._counts = counts
        self._plan = plan
        self._other_counts = other_counts
        self._uploads = Uploads(store)
        self._faults = StorageFaults(plan, self._uploads, connections)
        self._json_apis = json_apis(known, counts, self._faults)
        self._uploading = {
            "objects.insert": self._uploads.insert,
            "uploads.start": self._uploads.start,
            "uploads.chunk": self._uploads.take_chunk,
            "uploads.cancel": self._uploads.cancel,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(PREFIXES):
            await self._json_apis(scope, receive, send)
            return
        incoming = IncomingRequest(scope, receive)
        try:
            try:
                call = self._identify(incoming)
                self._counts[call.kind] += 1
                check_permitted(self._known, call)
                if self._faults.may_strike(call):
                    response = await self._answer_or_strike(call, incoming)
                else:
                    response = await self._answer(call, incoming)
            except StorageRefusal as refusal:
                response = _response(error_reply(refusal))
            await incoming.drain()
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _identify(self, incoming: IncomingRequest) -> StorageRequest:
        scope = incoming.scope
        host = incoming.headers.get("host")
        base = f"{scope['scheme']}://{host}" if host is not None else ""
        path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        return identify(scope["method"], path, query, base, incoming.headers)

    async def _answer_or_strike(self, call: StorageRequest, incoming: IncomingRequest) -> ASGIApp:
        target = await self._faults.target(call, incoming)
        struck = await self._faults.before(target, incoming.scope["client"])
        if struck is not None:
            return struck
        return self._faults.after(target, await self._answer(self._faults.first_page(call), incoming))

    async def _answer(self, call: StorageRequest, incoming: IncomingRequest) -> ASGIApp:
        if call.kind == "objects.download":
            # Nothing may be awaited between the look-up and the opening of the file, which an overwrite unlinks.
            await incoming.drain()
            return download(self._store, call, incoming.headers)
        if call.kind == "batch":
            return await self._answer_batch(call, incoming)
        if call.kind in _CONTROL:
            return _response(self._answer_control(call.kind, await incoming.read_limited()))
        if call.kind in self._uploading:
            reply = _selected(await self._uploading[call.kind](call, incoming), call)
        else:
            query = incoming.scope["query_string"].decode("latin-1")
            reply = await self._answer_metadata(call, query, await incoming.read_limited())
        return _response(reply)

    def _answer_control(self, kind: str, body: bytes) -> Reply:
        """Return the counters, the runtime, or the faults, which a PUT replaces first. Raises StorageRefusal: 400."""
        if kind == "emulator.counts":
            return Reply(200, {**self._other_counts(), **self._counts})
        if kind == "emulator.runtime":
            return Reply(200, self._runtime())
        if kind == "emulator.set_faults":
            try:
                self._plan.set(Faults.from_text(body.decode()))
            except (FaultError, UnicodeDecodeError) as error:
                raise StorageRefusal(400, "invalid", str(error)) from error
        return Reply(200, {"faults": self._plan.faults.to_json(), "consumed": self._plan.consumed})

    async def _answer_metadata(self, call: StorageRequest, query: str, body: bytes) -> Reply:
        """Answer a call that carries metadata only, alone or in a batch. Raises StorageRefusal."""
        answer = ANSWERS.get(call.kind) or COPIES.get(call.kind)
        resource = parse_json(body)
        if resource and call.kind in BODILESS_CALLS:
            raise StorageRefusal(400, "invalid", f"A call of the kind {call.kind} takes no body")
        if call.kind == "objects.compose":
            reply = await compose(self._store, call, resource)
        elif call.kind == "buckets.testPermissions":
            reply = tested_permissions(self._known, self._store, call, query)
        elif answer is None:
            raise StorageRefusal(400, "invalid", f"A call of the kind {call.kind} cannot be a part of a batch")
        else:
            reply = answer(self._store, call, resource)
        return _selected(reply, call)

    async def _answer_batch(self, call: StorageRequest, incoming: IncomingRequest) -> Response:
        body = await incoming.read_limited()
        answers = []
        for part in split_batch(body, incoming.headers.get("content-type", "")):
            try:
                inner = identify(part.method, part.path, part.query, call.base, part.headers)
                # As in Google's quotas, a batch of n calls counts as n calls; the envelope counts as "batch".
                self._counts[inner.kind] += 1
                check_permitted(self._known, inner)
                if self._faults.may_strike(inner):
                    self._faults.refuse(FaultTarget(request=inner.kind, bucket=inner.bucket, object=inner.name))
                reply = await self._answer_metadata(inner, part.query, part.body)
            except StorageRefusal as refusal:
                reply = error_reply(refusal)
            answers.append((part.content_id, reply))
        boundary = f"batch_{uuid.uuid4().hex}"
        content_type = f"multipart/mixed; boundary={boundary}"
        return Response(join_batch(answers, boundary), headers={"Content-Type": content_type})


def _selected(reply: Reply, call: StorageRequest) -> Reply:
    fields = call.query.get("fields")
    return replace(reply, content=select_fields(reply.content, fields)) if fields and reply.content else reply


def _response(reply: Reply) -> Response:
    if reply.content is None:
        return Response(status_code=reply.status, headers=reply.headers)
    headers = {"Content-Type": "application/json; charset=UTF-8", **reply.headers}
    return Response(json.dumps(reply.content), reply.status, headers)
