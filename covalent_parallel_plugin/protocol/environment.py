"""Environment variables that a job sets for its runner, and those that name the services.

Short, as no other module of the package may spell out such a name.
"""

from __future__ import annotations

import os

ENV_PREFIX = "COVALENT_PARALLEL_"
ENV_BUCKET = ENV_PREFIX + "BUCKET"
ENV_FOLDER = ENV_PREFIX + "FOLDER"
ENV_CALL_ID = ENV_PREFIX + "CALL_ID"
ENV_KEY = ENV_PREFIX + "KEY"
ENV_TIME_LIMIT = ENV_PREFIX + "TIME_LIMIT"
ENV_LAST_ATTEMPT = ENV_PREFIX + "LAST_ATTEMPT"
ENV_KEEP_OBJECTS = ENV_PREFIX + "KEEP_OBJECTS"
ENV_RUNNER = ENV_PREFIX + "RUNNER"
ENV_ROUND = ENV_PREFIX + "ROUND"
ENV_ITEMS = ENV_PREFIX + "ITEMS"
# How long the pauses between two deliveries of live output are, compared to the usual ones; 0: there is none of it
ENV_LIVE = ENV_PREFIX + "LIVE"
# That there are checkpoints; the electron finds here the folder whose contents its next attempt has as well
ENV_CHECKPOINT = ENV_PREFIX + "CHECKPOINT"
# How long the pauses between two of them are, compared to the usual ones
ENV_CHECKPOINT_PACE = ENV_PREFIX + "CHECKPOINT_PACE"
# The folder and the key of the call that the checkpoints belong to, where that is an earlier one
ENV_CHECKPOINT_CALL = ENV_PREFIX + "CHECKPOINT_CALL"
ENV_CHECKPOINT_KEY = ENV_PREFIX + "CHECKPOINT_KEY"
# A folder for what has to have a name, which the bootstrap found
ENV_PLACE = ENV_PREFIX + "PLACE"
# A folder for packages that tasks share, in place of PACKAGES_FOLDER: the emulator's processes have no volumes
ENV_PACKAGES = ENV_PREFIX + "PACKAGES"

# Where the services are, if not at Google: http://host:port for Cloud Storage (Google's own variable), host:port else
STORAGE_EMULATOR_HOST = "STORAGE_EMULATOR_HOST"
BATCH_EMULATOR_HOST = "BATCH_EMULATOR_HOST"
LOGGING_EMULATOR_HOST = "LOGGING_EMULATOR_HOST"
SERVICES = (STORAGE_EMULATOR_HOST, BATCH_EMULATOR_HOST, LOGGING_EMULATOR_HOST)

# Where a job of several tasks mounts what the tasks that share a machine share: packages installed by one of them
PACKAGES_FOLDER = "/mnt/covalent-parallel-packages"

# A file beside the own modules of an electron that makes a sublattice's graph: where the dispatching machine has them
IMPORT_PATHS_FILE = ".covalent-parallel-import-paths.json"


def is_on_emulator() -> bool:
    """Whether Batch is an emulator here: Google's console and gcloud know nothing of it then."""
    return bool(os.environ.get(BATCH_EMULATOR_HOST))


def for_google(text: str, on_emulator: str = "") -> str:
    """Return a text that names Google's console or gcloud; on an emulator the other one."""
    return on_emulator if is_on_emulator() else text


def remove_key(environment: "os._Environ[str]") -> bytes:
    """Take the call's key out of the environment, before anything of the user's can read it there."""
    return bytes.fromhex(environment.pop(ENV_KEY))
