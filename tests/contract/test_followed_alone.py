"""Output of electrons that ran, where Covalent's server is away: it is read, and then nobody waits any longer."""

from __future__ import annotations

import uuid

import pytest

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.cloud.timed_calls import Deadline
from covalent_parallel_plugin.covalent_api.server_client import ServerClient
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.protocol.live_part import LivePart, LiveStream, seal_live_part
from covalent_parallel_plugin.results.dispatch_logs import LOOKS_AFTER_END, DispatchLogs, Look
from covalent_parallel_plugin.results.electron_log import LogLine
from covalent_parallel_plugin.results.known_dispatch import KnownDispatch
from covalent_parallel_plugin.results.stores import Stores
from covalent_parallel_plugin.results.wanted_output import Wanted

PLACE = {"project_id": "local", "region": "us-east1", "bucket_name": "covalent"}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def looks(store: ObjectStore) -> list[Look]:
    """Looks at an electron that has delivered a line and a half, until there is nothing more to be seen."""
    dispatch_id, secret, stores = str(uuid.uuid4()), ServerSecret.random(), Stores()
    address = secret.identity(dispatch_id, 0, "0" * 16).task()
    part = LivePart(0, 0, LiveStream(0, b"a line\nhalf of one"), LiveStream(), (), None, "r")
    assert store.put(address.live_name(0, 0), seal_live_part(address, part))
    # A server that is asked anew at each look
    known = KnownDispatch(dispatch_id, ServerClient(NOBODY), PLACE, {}, stores.at, clock=lambda: 0.0)
    logs, found = DispatchLogs(known, Wanted(), secret, "", stores), list[Look]()
    while not found or not found[-1].is_over:
        assert len(found) <= LOOKS_AFTER_END
        found.append(logs.look(Deadline(60)))
    return found


def test_an_electron_without_a_job_is_not_followed_for_ever(looks: list[Look]) -> None:
    assert len(looks) == LOOKS_AFTER_END + 1
    assert looks[-1].notices == [
        "no job runs any more: run this again when Covalent's server, which has the rest, is there"
    ]
    texts = [[line.text for line in look.lines if isinstance(line, LogLine)] for look in looks]
    assert (texts[0], texts[1], texts[-1]) == (["a line"], [], ["half of one"])
