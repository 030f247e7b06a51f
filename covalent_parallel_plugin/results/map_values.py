"""What items of a map returned that failed, from the bucket: values are loaded one by one, as they are asked for."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from functools import cached_property

from ..cloud.storage import ObjectStore
from ..cloud.threads import map_in_threads
from ..covalent_api.config_file import configured_options
from ..covalent_api.secret_file import read_secret, secret_path
from ..covalent_api.server_client import ElectronRecord, ServerClient
from ..electron.map.item_table import ValueStore
from ..electron.map.pickled_values import PickledValues
from ..electron.map.report import TaskReport
from ..electron.map.stored_map import StoredMap, find_runs
from ..electron.server_secret import ServerSecret
from ..errors import MissingResourceError, SecretFileError
from ..protocol.object_names import ObjectName
from .wanted_output import place_of

READS_AT_ONCE = 8


def stored_values(dispatch_id: str, node_id: int, electron: ElectronRecord) -> PickledValues:
    """Return the values of a map's items that stay in the bucket; it is asked once one of them is.

    That raises:
        SecretFileError: this is not the machine of the map's server, or another user.
        MissingResourceError: nothing of the map is there.
        OutcomeError: something is there that its tasks did not seal.
        CloudError: Google refused, or could not be reached.
    """
    items = _StoredItems(dispatch_id, node_id, electron)
    return PickledValues(items.indices, items.read, (stored_values, (dispatch_id, node_id, electron)))


class _StoredItems:
    """The items of a map that returned, and what of their values was read so far."""

    def __init__(self, dispatch_id: str, node_id: int, electron: ElectronRecord):
        self._dispatch_id, self._node_id, self._electron = dispatch_id, node_id, electron
        # Where the values that were read are in the file
        self._places: dict[int, tuple[int, int]] = {}

    def indices(self) -> Collection[int]:
        """The items that returned, in order."""
        return sorted(self._objects)

    def read(self, index: int) -> bytes:
        """The pickle of an item's value; that of what else its object holds is kept in a file."""
        if index not in self._places:
            run, name = self._objects[index]
            for item in run.read(name, self._file).items:
                if item.raised is None:
                    self._places[item.index] = (item.offset, item.size)
        return b"".join(self._file.read(*self._places[index]))

    @cached_property
    def _file(self) -> ValueStore:
        return ValueStore(tempfile.gettempdir())

    @cached_property
    def _objects(self) -> dict[int, tuple[StoredMap, ObjectName]]:
        """In which object each item's value is."""
        place = place_of(self._electron, {}, configured_options())
        if place is None:
            raise MissingResourceError(f"node {self._node_id} of dispatch {self._dispatch_id} did not run on Batch")
        store = ObjectStore.shared(place.project_id, place.bucket_name)
        lineage = ServerClient.configured().lineage(self._dispatch_id)
        runs = next(filter(None, (find_runs(store, _secret(), each, self._node_id) for each in lineage)), [])
        if not runs:
            raise MissingResourceError(
                f"gs://{place.bucket_name} has no values of node {self._node_id} of dispatch {self._dispatch_id}:"
                " `covalent-parallel clean` or the bucket's lifecycle rule has deleted them"
            )
        work = [(run, name) for run in runs for name in run.names]

        def read(each: tuple[StoredMap, ObjectName]) -> TaskReport:
            return each[0].read_items(each[1])

        found: dict[int, tuple[StoredMap, ObjectName]] = {}
        for each, report in zip(work, map_in_threads(read, work, READS_AT_ONCE), strict=True):
            for item in report.items:
                if item.raised is None:
                    found.setdefault(item.index, each)
        return found


def _secret() -> ServerSecret:
    path = secret_path()
    secret = read_secret(path)
    if secret is None:
        raise SecretFileError(
            f"there is no secret of a Covalent server at {path}, and without it the values in the bucket cannot be"
            " checked: read them on the machine of the server, as its user and with its COVALENT_CONFIG_DIR, or run"
            " `covalent-parallel fetch` there"
        )
    return secret
