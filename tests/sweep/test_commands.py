"""`sweep` plan, run, status, logs, show, gather, cancel, list and clean, with commands of this machine."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
import yaml
from sweep_command import COMMAND, SweepCommand

FILE = """\
name: art
command: [sh, -c, 'echo "i is $0"; echo "warned $0" >&2; test $0 != 2', "{i}"]
parameters: {i: {start: 0, stop: 4}}
result: {stdout: 'i is (?P<found>\\d+)'}
max_parallel: 2
"""
SLOW = """\
name: art
command: [sh, -c, 'echo begun; test $0 = 0 || sleep 60', "{i}"]
parameters: {i: {start: 0, stop: 3}}
max_parallel: 2
"""
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    return SweepCommand(tmp_path)


def test_a_run_leaves_tables_and_runs_again_what_failed(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    ended = sweep("run", "art.yaml", "--local", status=1)
    assert "i=2: failed, exit 1: warned 2\n" in ended.stdout
    assert ended.stdout.splitlines()[0] == "4 are new"
    assert ended.stdout.splitlines()[-1] == f"art: 3 done, 1 failed; {sweep.folder / 'art' / 'results.csv'}"
    assert sweep.statuses() == {"i=0": "done", "i=1": "done", "i=2": "failed", "i=3": "done"}
    assert [row.get("found") for row in sweep.rows()] == [0, 1, None, 3]
    with (sweep.folder / "art" / "results.csv").open(newline="", encoding="utf-8") as file:
        assert [row["found"] for row in csv.DictReader(file)] == ["0", "1", "", "3"]
    names = {path.name for path in (sweep.folder / "art").iterdir()}
    assert names == {"sweep.yaml", "journal.jsonl", "results.csv", "results.json", "i=0", "i=1", "i=2", "i=3"}
    assert (sweep.folder / "art" / "sweep.yaml").read_text() == FILE
    again = sweep("run", "art.yaml", "--local", status=1)
    assert again.stdout.startswith("1: failed, exit 1\n    i=2\n3 are done\n")
    assert sweep.started()[4:] == ["i=2"]
    assert (sweep.folder / "art" / "i=2" / "attempt-0" / "stdout.txt").read_text() == "i is 2\n"


def test_when_all_is_done_nothing_runs(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("!= 2", "!= 9"))
    sweep("run", "art.yaml", "--local")
    assert sweep("run", "art.yaml", "--local").stdout.startswith("4 are done\n")
    assert len(sweep.started()) == 4


def test_the_plan_says_what_the_next_run_does(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("!= 2", "!= 9"))
    sweep("run", "art.yaml", "--local")
    sweep.write(FILE.replace("!= 2", "!= 9").replace("stop: 4", "stop: 6").replace('"{i}"]', '"{i}", "{i}"]'))
    assert sweep("plan", "art.yaml").stdout == (
        "art: 6 tasks\n"
        "first    i=0\n"
        """         sh -c 'echo "i is $0"; echo "warned $0" >&2; test $0 != 9' 0 0\n"""
        f"         {sweep.folder}/art/i=0\n"
        "second   i=1\n"
        """         sh -c 'echo "i is $0"; echo "warned $0" >&2; test $0 != 9' 1 1\n"""
        f"         {sweep.folder}/art/i=1\n"
        "last     i=5\n"
        """         sh -c 'echo "i is $0"; echo "warned $0" >&2; test $0 != 9' 5 5\n"""
        f"         {sweep.folder}/art/i=5\n"
        "at most  6 tasks x 300 s x 4 attempts = 2 machine-hours\n"
        "4: the command changed\n"
        "    i=0 i=1 i=2 i=3\n"
        "2 are new\n"
    )
    planned = json.loads(sweep("plan", "art.yaml", "--format", "json").stdout)
    assert [(reason["why"], reason["count"]) for reason in planned["reasons"]] == [
        ("the command changed", 4),
        ("new", 2),
    ]
    assert len(sweep.started()) == 4
    sweep("run", "art.yaml", "--local")
    assert sorted(sweep.started()[4:]) == sorted(name for reason in planned["reasons"] for name in reason["tasks"])


def test_a_plan_has_its_warnings_in_every_form(sweep: SweepCommand) -> None:
    sweep.write(f"{FILE}secrets: {{TOKEN_OF_ART: art-token}}\nafter: [first]\n")
    expected = [
        "art.yaml:6:10: secrets: with --local TOKEN_OF_ART is this machine's variable, which is not set: export"
        " TOKEN_OF_ART",
        "art.yaml:7:9: after: there is no sweep 'first': give a sweep's folder, or the name of one: none yet",
    ]
    assert sweep("plan", "art.yaml").stderr.splitlines() == [f"warning: {line}" for line in expected]
    documents = [json.loads(sweep("plan", "art.yaml", "--format", "json").stdout)]
    documents.append(yaml.safe_load(sweep("plan", "art.yaml", "--format", "yaml").stdout))
    assert documents[0] == documents[1]
    assert documents[0]["warnings"] == expected
    assert sweep("run", "art.yaml", "--local", status=2).stderr.splitlines() == expected


def test_a_plan_makes_nothing(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("plan", "art.yaml")
    assert "tasks: 4\n" in sweep("plan", "art.yaml", "--format", "yaml").stdout
    assert [path.name for path in sweep.folder.iterdir()] == ["art.yaml"]


def test_new_names_of_tasks_start_nothing(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("!= 2", "!= 9"))
    sweep("run", "art.yaml", "--local")
    sweep.write(FILE.replace("!= 2", "!= 9") + "task_name: size{i}\ntime_limit: 77\nretries: 1\n")
    assert "4 of them under another name" in sweep("run", "art.yaml", "--local").stdout
    assert len(sweep.started()) == 4
    assert [(row["task.name"], row["task.folder"], row["found"]) for row in sweep.rows()] == [
        (f"size{i}", f"size{i}", i) for i in range(4)
    ]
    assert (sweep.folder / "art" / "size3" / "stdout.txt").read_text() == "i is 3\n"
    assert not (sweep.folder / "art" / "i=3").exists()


def test_another_result_is_read_without_running_anything(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("i is (?P", "there is (?P").replace("!= 2", "!= 9"))
    sweep("run", "art.yaml", "--local", status=1)
    assert set(sweep.statuses().values()) == {"no-result"}
    sweep.write(FILE.replace("!= 2", "!= 9").replace("found", "number"))
    sweep("run", "art.yaml", "--local")
    assert [row["number"] for row in sweep.rows()] == [0, 1, 2, 3]
    assert len(sweep.started()) == 4


def test_selections_of_tasks(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", "--first", "1")
    assert sweep.statuses() == {"i=0": "done", "i=1": "waiting", "i=2": "waiting", "i=3": "waiting"}
    sweep("run", "art.yaml", "--local", "--only", "i=3")
    assert sweep.started() == ["i=0", "i=3"]
    sweep("run", "art.yaml", "--local", "--only", "*[03]", "--again", "all", "--yes")
    assert sorted(sweep.started()[2:]) == ["i=0", "i=3"]
    assert "--only '7' names no task" in sweep("run", "art.yaml", "--local", "--only", "7", status=2).stderr


def test_what_is_set_over_the_file(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", "--set", "parameters.i=[7]", "--out", "other")
    assert [row["i"] for row in sweep.rows("other")] == [7]
    # The folder knows it, so that what reads the file again does too
    assert "1 done" in sweep("gather", "other").stdout


def test_rows_of_standard_input_are_kept(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("{i: {start: 0, stop: 4}}", '{file: "-"}'))
    sweep("run", "art.yaml", "--local", stdin="i\n1\n07\n")
    assert [row["i"] for row in sweep.rows()] == [1, 7]
    (sweep.folder / "art" / "results.csv").unlink()
    sweep("gather", "art")
    assert (sweep.folder / "art" / "results.csv").exists()


def test_all_mistakes_are_reported_before_anything_is_made(sweep: SweepCommand) -> None:
    sweep.write(
        "command: echo {g} {gg}\nparameters: {g: [1, 2]}\ntyme_limit: 5\nfiles: [nothere]\nstop_after: 0\n"
        "task_name: t{h}\n"
    )
    expected = (
        "art.yaml:1:19: command: {gg} is no parameter: did you mean {g}? {{gg}} is the text {gg}\n"
        "art.yaml:3:1: 'tyme_limit' is no key of a sweep (did you mean 'time_limit'?)\n"
        f"art.yaml:4:9: files: 'nothere' does not exist in {sweep.folder}: name a file, a folder or a pattern there\n"
        "art.yaml:5:13: stop_after = 0 is neither a number of failures nor a share of the tasks: use one such as 3 or"
        " 10%\n"
        "art.yaml:6:12: task_name: {h} is no parameter: there are {g}, {sweep.index}, {sweep.name}; {{h}} is the text"
        " {h}\n"
    )
    for words in (("plan", "art.yaml"), ("run", "art.yaml", "--local")):
        ended = sweep(*words, status=2)
        assert (ended.stdout, ended.stderr) == ("", expected)
    assert [path.name for path in sweep.folder.iterdir()] == ["art.yaml"]


def test_mistakes_in_grids_bring_no_others_with_them(sweep: SweepCommand) -> None:
    sweep.write("command: echo {g}\nparamaters: {g: [1, 2]}\n")
    assert sweep("plan", "art.yaml", status=2).stderr == (
        "art.yaml:2:1: 'paramaters' is no key of a sweep (did you mean 'parameters'?)\n"
    )


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            "max_machine_hours: 1\n",
            "art.yaml:6:20: max_machine_hours = 1 is too little: 4 tasks x 300 s x 4 attempts = 1.333 machine-hours;"
            " raise it, or lower time_limit or retries\n",
        ),
        (
            "secrets: {TOKEN_OF_ART: art-token}\n",
            "art.yaml:6:10: secrets: with --local TOKEN_OF_ART is this machine's variable, which is not set: export"
            " TOKEN_OF_ART\n",
        ),
        (
            "after: [first]\n",
            "art.yaml:6:9: after: there is no sweep 'first': give a sweep's folder, or the name of one: none yet\n",
        ),
    ],
)
def test_what_keeps_a_run_from_starting(sweep: SweepCommand, more: str, message: str) -> None:
    sweep.write(FILE + more)
    assert sweep("run", "art.yaml", "--local", status=2).stderr == message
    assert sweep.started() == []


def test_a_sweep_comes_after_others(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep.write("command: echo {i}\nparameters: {i: [1]}\nafter: [art]\n", "next.yaml")
    sweep("run", "art.yaml", "--local", status=1)
    assert sweep("run", "next.yaml", "--local", status=2).stderr == (
        "next.yaml:3:9: after: the sweep 'art' is not done (3 done, 1 failed): run it to its end first\n"
    )
    sweep.write(FILE.replace("!= 2", "!= 9"))
    sweep("run", "art.yaml", "--local")
    sweep("run", "next.yaml", "--local")


def test_secrets_come_from_variables_and_are_not_written_anywhere(sweep: SweepCommand) -> None:
    sweep.write("name: art\ncommand: [sh, -c, 'test ${#TOKEN_OF_ART} = 11']\nsecrets: {TOKEN_OF_ART: art-token}\n")
    sweep("run", "art.yaml", "--local", more={"TOKEN_OF_ART": "hidden-text"})
    for path in (sweep.folder / "art").rglob("*"):
        assert not path.is_file() or b"hidden-text" not in path.read_bytes(), path


def test_another_sweeps_folder_is_refused(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    other = sweep.write("command: echo 1\n", "pi.yaml")
    message = f"{sweep.folder}/art belongs to the sweep 'art', and this one is 'pi': give --out another folder\n"
    for words in (("plan", other), ("run", other, "--local")):
        assert sweep(*words, "--out", "art", status=2).stderr == message


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_cancel_where_is_no_terminal(sweep: SweepCommand, number: int) -> None:
    sweep.write(SLOW)
    running = sweep.start("run", "art.yaml", "--local")
    sweep.wait_for(lambda: len(sweep.events("start")) == 3, "third start")
    running.send_signal(number)
    output, errors = running.communicate(timeout=60)
    assert running.returncode == 130, errors
    assert sweep.statuses() == {"i=0": "done", "i=1": "cancelled", "i=2": "cancelled"}
    assert output.splitlines()[-1].startswith("art: interrupted: 1 done, 2 cancelled; ")
    assert sweep("plan", "art.yaml").stdout.endswith("2: cancelled, signal 15\n    i=1 i=2\n1 is done\n")


def test_commands_for_a_run_in_another_terminal(sweep: SweepCommand) -> None:
    sweep.write(SLOW)
    running = sweep.start("run", "art.yaml", "--local")
    sweep.wait_for(lambda: len(sweep.events("start")) == 3, "third start")
    assert sweep("run", "art.yaml", "--local", status=2).stderr == (
        f"another run holds {sweep.folder}/art: process {running.pid}; wait for it, or end it with"
        f" `covalent-parallel sweep cancel {sweep.folder}/art`\n"
    )
    shown = json.loads(sweep("status", "art", "--json").stdout)
    assert (shown["state"], shown["pid"], shown["tasks"]) == ("running", running.pid, 3)
    assert shown["counts"] == {"done": 1, "running": 2} and sorted(shown["running"]) == ["i=1", "i=2"]
    assert sweep("status", "art").stdout.startswith(f"art: running, process {running.pid}\n")
    assert "running, left alone" in sweep("clean", "art", "--yes").stdout
    with sweep.start("logs", "art", "i=1", "--follow") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == "begun\n"
        assert sweep("cancel", "art").stdout == f"{sweep.folder}/art is cancelled\n"
        running.communicate(timeout=60)
        assert follower.wait(timeout=60) == 0
    assert running.returncode == 130
    assert sweep("cancel", "art").stdout == f"{sweep.folder}/art is not running\n"


def test_commands_for_a_run_of_another_day(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    status = (
        f"art: not done\nfolder   {sweep.folder}/art\ntasks    4: 3 done, 1 failed\npace\n"
        "i=2: failed, exit 1: warned 2\n"
    )
    for words in ((), ("art",), ("./art",), (sweep.folder / "art",)):
        assert re.sub("^pace .*", "pace", sweep("status", *words).stdout, flags=re.MULTILINE) == status
    failure = json.loads(sweep("status", "--json").stdout)["failed"]
    assert failure == [{"task": "i=2", "ending": "failed, exit 1", "line": "warned 2"}]
    assert sweep("logs", "art", "i=1").stdout == "i is 1\n"
    assert sweep("logs", "i=1", "--stderr").stdout == "warned 1\n"
    assert f"{sweep.folder}/art has no task 'i=9': did you mean i=" in sweep("logs", "art", "i=9", status=1).stderr
    listed = sweep("list").stdout.split()
    assert [*listed[:7], listed[-1]] == ["art", "not", "done", "3", "of", "4", "done", f"{sweep.folder}/art"]
    (sweep.folder / "art" / "results.json").unlink()
    assert sweep("gather", "art").stdout == f"art: 3 done, 1 failed; {sweep.folder}/art/results.csv\n"
    assert len(sweep.rows()) == 4
    assert f"the sweep is in {sweep.folder}/art already" in sweep("gather", "art", "--out", "b", status=2).stderr
    assert "there is no sweep 'pi'" in sweep("status", "pi", status=1).stderr


def test_a_task_is_tried_by_hand_in_a_folder_of_its_own(sweep: SweepCommand) -> None:
    (sweep.folder / "words.txt").write_text("from a file\n")
    sweep.write(FILE.replace('echo "i is $0"', 'cat words.txt; echo "i is $0" | tee made') + "files: [words.txt]\n")
    sweep("run", "art.yaml", "--local", status=1)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (sweep.folder / "art" / "i=1").rglob("*"))
    line = sweep("show", "art", "i=1").stdout
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "from a file\ni is 1\n", "warned 1\n")
    after = sorted((path.name, path.stat().st_mtime_ns) for path in (sweep.folder / "art" / "i=1").rglob("*"))
    assert after == before
    assert "did you mean i=" in sweep("show", "art", "i=7", status=1).stderr


def test_clean_removes_what_the_sweep_made_and_nothing_else(sweep: SweepCommand) -> None:
    sweep.write(FILE)
    sweep("run", "art.yaml", "--local", status=1)
    sweep("show", "art", "i=1")
    assert "Nothing was removed: --yes does that." in sweep("clean").stdout
    assert "Nothing" not in sweep("clean", "--older-than", "1h", "--yes").stdout
    assert "name the sweeps, or give --older-than" in sweep("clean", "--yes", status=2).stderr
    (sweep.folder / "art" / "notes.txt").write_text("mine")
    assert sweep("clean", "art", "--yes").stderr == f"left in {sweep.folder}/art: notes.txt\n"
    assert [path.name for path in (sweep.folder / "art").iterdir()] == ["notes.txt"]
    assert sweep("list").stdout == "no sweeps\n"


def test_what_a_pipe_gets_has_no_control_characters(sweep: SweepCommand) -> None:
    loud = r"""printf '\033[31mred\033[0m\a\r10%%\r20%%\nt\tb\n'; printf '\033]0;title\007bad' >&2; exit 3"""
    (sweep.folder / "loud.sh").write_text(loud)
    sweep.write("name: art\ncommand: sh loud.sh\nfiles: [loud.sh]\n")
    for words in (("--follow",), ()):
        ended = sweep("run", "art.yaml", "--local", *words, status=1)
        assert "art: failed, exit 3: bad" in ended.stdout
        assert not CONTROL.search(ended.stdout + ended.stderr), ended.stdout
        if words:
            assert {"art: 20%", "art: t   b", "art: bad"} <= set(ended.stdout.splitlines())
    assert not CONTROL.search(sweep("status").stdout)


def test_a_killed_run_repeats_nothing_that_is_done(sweep: SweepCommand) -> None:
    sweep.write(
        "name: art\ncommand: [sh, -c, 'sleep 0.05; echo $0', '{i}']\nparameters: {i: {start: 0, stop: 40}}\n"
        "max_parallel: 2\n"
    )
    for ends in (3, 11, 25):
        running = sweep.start("run", "art.yaml", "--local")
        sweep.wait_for(lambda: len(sweep.events("end")) >= ends or running.poll() is not None, "end")  # noqa: B023
        running.kill()
        running.communicate(timeout=60)
        assert sweep("status", "art").stdout.startswith("art: killed\n")
    sweep("run", "art.yaml", "--local")
    assert set(sweep.statuses().values()) == {"done"} and len(sweep.rows()) == 40
    done: set[str] = set()
    for line in (sweep.folder / "art" / "journal.jsonl").read_text().splitlines():
        event = json.loads(line)
        assert event["event"] != "start" or event["task"] not in done
        if event["event"] == "end":
            done.add(event["task"])


LOADED = """
import sys
from covalent_parallel_plugin.cli import main
try:
    main({words!r})
except SystemExit as ended:
    assert not ended.code, ended.code
names = ("covalent", "google", "grpc", "proto", "cloudpickle", *{others!r})
found = sorted(name for name in sys.modules if name.split(".")[0] in names)
print("LOADED", found)
"""


@pytest.mark.parametrize(
    ("words", "others"),
    [
        (["sweep", "--help"], ("yaml", "rich", "jinja2")),
        (["sweep", "plan", "art.yaml"], ("rich",)),
        (["sweep", "run", "art.yaml", "--local"], ("rich",)),
        (["sweep", "status", "art"], ()),
    ],
)
def test_neither_covalent_nor_google_is_loaded(sweep: SweepCommand, words: list[str], others: tuple[str, ...]) -> None:
    sweep.write(FILE.replace("!= 2", "!= 9"))
    sweep("run", "art.yaml", "--local")
    code = LOADED.format(words=words, others=others)
    ended = subprocess.run(
        [COMMAND[0], "-c", code], cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.splitlines()[-1] == "LOADED []", ended.stdout + ended.stderr


@pytest.mark.parametrize("package", ["yaml", "jinja2"])
def test_a_missing_package_is_named_with_the_extra_that_has_it(sweep: SweepCommand, package: str) -> None:
    (sweep.folder / "x.j2").write_text("{{ i }}")
    sweep.write(FILE + "files: [x.j2]\n")
    code = f"""
import sys
sys.modules[{package!r}] = None
from covalent_parallel_plugin.cli import main
main(["sweep", "plan", "art.yaml"])
"""
    ended = subprocess.run(
        [COMMAND[0], "-c", code], cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stderr == (
        f"Error: the package {package!r} is missing; install it with: pip install 'covalent-parallel-plugin[sweep]'\n"
    )
