"""`covalent-parallel report`: of a trace and of a sweep, without any service; what it writes, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import warm_python

from benchmarks.made_traces import Size, write_trace

MAIN = "from covalent_parallel_plugin.cli import main; main(prog_name='covalent-parallel')"
ID = "7c1e9a52-0d4b-4f6e-9a55-2f1c8e7b3d10"
SECONDS = 120


class Site:
    """A user with a dispatch's trace and a sweep, whose Covalent server does not answer."""

    def __init__(self, folder: Path) -> None:
        self.home, self.folder = folder / "home", folder / "here"
        (self.home / "covalent").mkdir(parents=True)
        # Nothing listens at this port
        (self.home / "covalent" / "covalent.conf").write_text('[dispatcher]\naddress = "127.0.0.1"\nport = 1\n')
        self.folder.mkdir()
        self.traces = self.home / "data" / "covalent-parallel" / "traces"
        self.traces.mkdir(parents=True)
        write_trace(self.traces, ID, Size(electrons=3, items=40, tasks=2))
        self.environment = {
            **os.environ, "HOME": str(self.home), "COVALENT_CONFIG_DIR": str(self.home / "covalent"), "BROWSER": "",
            "XDG_DATA_HOME": str(self.home / "data"), "XDG_STATE_HOME": str(self.home / "state"), "DISPLAY": "",
        }  # fmt: skip

    def run(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        ended = warm_python.run(MAIN, *words, environment=self.environment, folder=self.folder)
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def test_a_page_is_written_here_and_the_other_formats_are_printed(site: Site) -> None:
    assert site.run("report", ID).stdout == f"report-{ID[:8]}.html\n"
    page = (site.folder / f"report-{ID[:8]}.html").read_text()
    assert page.startswith("<!doctype html>") and ID in page
    in_csv = site.run("report", ID, "--format", "csv")
    rows = list(csv.DictReader(in_csv.stdout.splitlines()))
    found = json.loads(site.run("report", ID, "--format", "json").stdout)
    assert found["id"] == ID and len(found["rows"]) == len(rows) >= 3
    # It is in the document too, but of csv only standard error can say it
    assert found["missing"] and all(f"covalent-parallel: {each}" in in_csv.stderr for each in found["missing"])
    events = json.loads(site.run("report", ID, "--format", "trace", "--items").stdout)["traceEvents"]
    assert sum(event.get("cat") == "item" for event in events) >= 40
    assert site.files() == [f"report-{ID[:8]}.html"]
    (site.folder / f"report-{ID[:8]}.html").unlink()


def test_a_files_end_says_which_format_it_has(site: Site) -> None:
    for name, begin in (("a.csv", "id,node"), ("a.trace.json", '{"displayTimeUnit'), ("a.html", "<!doctype html>")):
        assert site.run("report", ID, "-o", name, "--items").stdout == f"{name}\n"
        assert (site.folder / name).read_text().startswith(begin)
        (site.folder / name).unlink()
    assert site.run("report", ID, "-o", "-").stdout.startswith("<!doctype html>")
    ended = site.run("report", ID, "-o", "a.html", "--open")
    assert "no browser can be started here: open " in ended.stderr and ended.stderr.endswith("a.html in one\n")
    (site.folder / "a.html").unlink()
    assert site.files() == []


def test_mistakes_are_said_before_anything_is_read_and_all_at_once(site: Site) -> None:
    said = site.run("report", "any", "-o", "none/a.csv", "--open", status=2).stderr
    assert "--open opens a page in a browser" in said
    assert f"-o none/a.csv cannot be written: there is no folder {site.folder / 'none'}" in said
    os.mkfifo(site.folder / "pipe")
    for output, problem in ((".", "is a folder: name a file in it"), ("pipe", "is not a file: give -o -")):
        assert f"-o {output} {problem}" in site.run("report", "any", "-o", output, status=2).stderr
    (site.folder / "pipe").unlink()
    for words in (("--format", "json"), ("-o", "-")):
        assert "--open" in site.run("report", ID, "--open", *words, status=2).stderr
    assert "'html', 'trace', 'csv', 'json'" in site.run("report", ID, "--format", "pdf", status=2).stderr


def test_what_is_not_known_is_looked_for_in_places_that_the_error_names(site: Site) -> None:
    said = site.run("report", ID[:8], "-o", "a.html", status=1).stderr
    assert f"{site.traces / ID[:8]}.jsonl" in said and "127.0.0.1:1" in said
    assert f"there is no sweep '{ID[:8]}'" in said
    assert "there is no sweep 'runs/no'" in site.run("report", "runs/no", status=1).stderr
    assert "there is no sweep 'aaaa" in site.run("report", "a" * 300, status=1).stderr
    # What is there, and of no use, is not called absent
    (site.traces / "cut.jsonl").write_text('{"v": 1, "kind": "subm')
    (site.traces / "dir.jsonl").mkdir()
    said = site.run("report", "cut", status=1).stderr
    assert "There is nothing of it in the trace at " in said and ": 1 line cannot be used." in said
    said = site.run("report", "dir", status=1).stderr
    assert "The trace cannot be read: " in said and "No trace of it" not in said
    assert site.files() == []


def test_a_sweep_has_a_report_where_covalent_is_not_installed(site: Site) -> None:
    (site.folder / "cubes.yaml").write_text("name: cubes\nparameters: {x: [1, 2, 3]}\ncommand: echo {x}\n")
    site.run("sweep", "run", "--local", "cubes.yaml")
    without = f"import sys; sys.modules['covalent'] = None; {MAIN}"
    ended = warm_python.run(
        without, "report", "cubes", "--format", "json", environment=site.environment, folder=site.folder
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["kind"], found["name"], found["state"], len(found["rows"])) == ("sweep", "cubes", "completed", 3)
    assert site.run("report", "cubes").stdout == "report-cubes.html\n"


def test_a_reader_that_goes_away_and_a_full_disk_end_it_as_other_commands(site: Site) -> None:
    command = [sys.executable, "-c", MAIN, "report", ID, "--items", "--format", "csv"]
    with subprocess.Popen(
        command, cwd=site.folder, env=site.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as gone:
        assert gone.stdout is not None
        gone.stdout.close()
        assert gone.wait(SECONDS) == 1
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, cwd=site.folder, env=site.environment, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stderr.endswith("Error: the output cannot be written: No space left on device\n")
