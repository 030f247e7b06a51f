"""Faults given to the command `covalent-parallel emulator`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

COMMAND = [
    sys.executable,
    "-c",
    "from covalent_parallel_plugin.cli import main; main()",
    "emulator",
    "--runtime=process",
    *("--storage-port=0", "--batch-port=0", "--logging-port=0"),
]
SECONDS = 60


def test_faults_of_a_file_and_of_flags_take_place_and_are_printed_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    rule = {"kind": "storage.error", "name": "no buckets", "request": "buckets.get", "code": 503, "first": 1}
    file.write_text(json.dumps({"seed": 1, "rules": [rule]}))
    flag = "storage:buckets.get:429:first=1"
    never = "job:*:vanish"
    options = ["--faults", str(file), "--fault", flag, "--fault", never, "--fault-seed", "5"]
    running = subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        address = running.stdout.readline().rstrip("\n").partition("=")[2]
        while running.stdout.readline() != "ready\n":
            assert running.poll() is None
        statuses = []
        for _ in range(2):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(f"{address}/storage/v1/b/covalent", timeout=SECONDS)
            statuses.append(caught.value.code)
            caught.value.close()
        with urllib.request.urlopen(f"{address}/_emulator/faults", timeout=SECONDS) as answer:
            assert json.load(answer)["faults"]["seed"] == 5
    finally:
        running.send_signal(signal.SIGTERM)
        output, errors = running.communicate(timeout=SECONDS)
    assert statuses == [503, 429] and (running.returncode, errors) == (0, "")
    assert output.splitlines()[-3:] == ["fault no buckets: 1", f"fault {flag}: 1", f"fault {never}: 0"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["not valid JSON"]),
        ('{"rules": [{"kind": "rpc.error"}]}', ["fault rule 1", "code is missing"]),
        (None, ["faults.json", "No such file"]),
    ],
)
def test_a_wrong_file_is_one_error_with_its_name_and_the_remedy(
    tmp_path: Path, content: str | None, words: list[str]
) -> None:
    file = tmp_path / "faults.json"
    if content is not None:
        file.write_text(content)
    ended = subprocess.run(
        [*COMMAND, "--faults", str(file)], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 2 and ended.stderr.count("Error") == 1 and "Traceback" not in ended.stderr
    assert all(word in ended.stderr for word in [str(file), *words]), ended.stderr


def test_a_wrong_flag_is_one_error_with_its_text_and_the_remedy() -> None:
    ended = subprocess.run(
        [*COMMAND, "--fault", "rpc:GetJob:UNAVAILABL"], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 2 and ended.stderr.count("Error:") == 1 and "Traceback" not in ended.stderr
    assert "rpc:GetJob:UNAVAILABL" in ended.stderr and "did you mean 'UNAVAILABLE'" in ended.stderr
