"""The checks of this machine: what is installed, the configuration, credentials, and the Covalent server."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from ... import __version__
from ...cloud.apis import GoogleApis, Identity, default_credentials
from ...covalent_api.config_file import server_address
from ...covalent_api.server_client import LATEST_DISPATCH
from ...errors import PermissionDeniedError
from .check_runner import Check, Facts
from .checks import configuration, credentials, server, versions
from .results import Judged, ok
from .setup import Case

CREDENTIALS = "credentials.found"


def here_checks(case: Case) -> tuple[list[Check], list[Check]]:
    """Those that are told first, and those of the server, which are told last."""
    return [*_versions(case), *_configuration(case), *_credentials(case)], _server(case)


def _versions(case: Case) -> list[Check]:
    def executor_dir() -> Path | None:
        configured = case.file.value("sdk", "executor_dir")
        return Path(configured) if configured else None

    return [
        Check(
            "versions.python",
            lambda facts: versions.judge_python(sys.version_info[:3], platform.python_version()),
            "the Python that runs this is one that Covalent runs on (3.10 to 3.12)",
            "make an environment with such a Python",
        ),
        Check(
            "versions.covalent",
            lambda facts: versions.judge_covalent(versions.installed_version("covalent")),
            "Covalent is installed here",
            "`pip install covalent`",
        ),
        Check(
            "versions.fastapi",
            lambda facts: versions.judge_fastapi(versions.installed_version("fastapi")),
            "FastAPI is older than 0.132, from which on it refuses every dispatch with 422",
            "`pip install 'fastapi<0.132'`, restart the server",
        ),
        Check(
            "versions.plugin",
            lambda facts: versions.judge_plugin(__version__, versions.installed_plugins(None)),
            "this package is installed, and not only importable: Covalent finds it by its entry point",
            "`pip install covalent-parallel-plugin`",
        ),
        Check(
            "versions.second_plugin",
            lambda facts: versions.judge_second_plugin(
                versions.installed_plugins(executor_dir()), versions.installed_version(versions.REPLACED)
            ),
            "nothing else brings a plugin `gcpbatch` or a class `GCPBatchExecutor`: the replaced plugin"
            " covalent-gcpbatch-plugin, another distribution, a module in Covalent's folder for plugins",
            "uninstall the other one, restart the server",
        ),
    ]


def _configuration(case: Case) -> list[Check]:
    def cache_dir(facts: Facts) -> Judged:
        path = Path(case.settings.cache_dir)
        existing = configuration.nearest_folder(path)
        is_usable = configuration.is_folder_usable(existing)
        return configuration.judge_cache_dir(str(path), existing, is_usable)

    return [
        Check(
            "config.file",
            lambda facts: configuration.judge_file(case.file, configuration.is_file_writable(case.file.path)),
            "Covalent can read and write its configuration file; a second `[executors.gcpbatch]` makes it unreadable",
            "edit the file as the text says",
        ),
        Check(
            "config.options",
            lambda facts: configuration.judge_options(case),
            "every option with its value, and where that comes from: `--set`, the file, the default",
            "nothing to mend: it only tells",
        ),
        Check(
            "config.mistakes",
            lambda facts: configuration.judge_mistakes(case),
            "options that are missing, wrong, or contradict each other",
            "edit them as each line says",
        ),
        Check(
            "config.unknown_keys",
            lambda facts: configuration.judge_unknown_keys(case.file.section, case.file.path),
            "keys under `[executors.gcpbatch]` that are no options, with the nearest that is",
            "rename or remove them",
        ),
        Check(
            "config.cache_dir",
            cache_dir,
            "`cache_dir` can be written to, or made",
            "name another folder in `cache_dir`",
            options=("cache_dir",),
        ),
    ]


def _credentials(case: Case) -> list[Check]:
    def stand_ins(facts: Facts) -> Judged:
        return credentials.judge_stand_ins(case.stand_ins, credentials.unreachable(case.stand_ins))

    def found(facts: Facts) -> Judged:
        """The facts are the APIs and whose credentials they are asked with."""
        if "STORAGE_EMULATOR_HOST" in case.stand_ins:
            return ok("none are needed for the stand-in", facts=(GoogleApis.connect(), Identity(credentials.STAND_IN)))
        try:
            google, identity = default_credentials()
        except PermissionDeniedError as problem:
            return credentials.judge_no_credentials(str(problem))
        judged = credentials.judge_identity(identity)
        return ok(judged.found, facts=(GoogleApis.connect(google), identity))

    return [
        Check(
            "services.stand_in",
            stand_ins,
            "the `*_EMULATOR_HOST` variables: all of them or none are set, and what they name answers",
            "start `covalent-parallel emulator` and export what it prints, or unset them",
        ),
        Check(
            CREDENTIALS,
            found,
            "Google's default credentials are there and work, and whose they are",
            "`gcloud auth application-default login`",
            needs=("services.stand_in",),
        ),
        Check(
            "credentials.quota_project",
            lambda facts: credentials.judge_quota_project(facts[CREDENTIALS][1], case.settings.project_id),
            "a user's credentials count API calls against `project_id`",
            "`gcloud auth application-default set-quota-project PROJECT`",
            facts_of=(CREDENTIALS,),
            options=("project_id",),
        ),
    ]


def _server(case: Case) -> list[Check]:
    reachable = "server.reachable"

    def answer(facts: Facts) -> Judged:
        """The facts are the server's host and port."""
        host, port = server_address(case.file, case.environment)
        try:
            server.client_of(host, port).get_json(LATEST_DISPATCH, server.ANSWER_SECONDS)
        except (OSError, ValueError) as problem:
            return server.judge_answer(f"{host}:{port}", str(getattr(problem, "reason", problem)))
        return ok(server.judge_answer(f"{host}:{port}", "").found, facts=(host, port))

    def settings(facts: Facts) -> Judged:
        try:
            host, port = facts[reachable]
            told = server.client_of(host, port).get_json("/api/v1/settings", server.ANSWER_SECONDS)
        except (OSError, ValueError):
            told = None
        return server.judge_settings(told if isinstance(told, dict) else None, case)

    return [
        Check(
            reachable,
            answer,
            "a Covalent server answers where the configuration says it does",
            "`covalent start`",
            needs=("config.file",),
        ),
        Check(
            "server.plugin",
            settings,
            "the server has this executor, and reads the same configuration file",
            "install this package where the server runs, restart it",
            facts_of=(reachable,),
        ),
        Check(
            "server.process",
            lambda facts: server.judge_process(server.process_at(*facts[reachable]), case, __version__),
            "a server on this machine: its versions of Covalent, FastAPI and this package, and whether it was started"
            " with the same `*_EMULATOR_HOST` variables",
            "install what is missing with the server's Python, restart it from this shell",
            facts_of=(reachable,),
        ),
    ]
