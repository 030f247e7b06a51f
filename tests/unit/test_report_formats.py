import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from sample_reports import many_electrons, screen_compounds, still_running

from covalent_parallel_plugin.errors import SettingsError
from covalent_parallel_plugin.results.report.formats import format_of, write_text
from covalent_parallel_plugin.results.run_report import RunReport


def test_a_files_end_stands_for_a_format_and_any_other_for_a_page():
    names = {"a.html": "html", "a": "html", "a.txt": "html", "a.CSV": "csv", "a.json": "json", "a.trace.json": "trace"}
    assert {name: format_of(Path("x.csv", name)) for name in names} == names


def test_a_report_is_saved_in_each_format_and_returned_as_rows_and_data(tmp_path):
    run = RunReport(screen_compounds())
    assert run.save(tmp_path / "r.csv").read_text().splitlines()[0].startswith("id,node,electron,round,task,")
    rows = json.loads(run.save(str(tmp_path / "r.json"), items=True).read_text())["rows"]
    assert len(rows) == 480 and rows == run.rows(items=True) and len(run.rows()) == 54
    assert "traceEvents" in json.loads(run.save(tmp_path / "any", format="trace").read_text())
    assert run.save(tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert run.data["version"] == 1 and run.data["electrons"][0]["name"] == "prepare"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["any", "r.csv", "r.html", "r.json"]


def test_all_mistakes_of_saving_are_said_at_once(tmp_path):
    run = RunReport(screen_compounds())
    with pytest.raises(SettingsError) as raised:
        run.save(tmp_path / "none" / "r.html", format="pdf")
    assert f"there is no folder {tmp_path / 'none'}" in str(raised.value)
    assert "format is 'pdf': give one of html, trace, csv, json" in str(raised.value)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "round").symlink_to("round")
    bad = {tmp_path: "is a folder", tmp_path / "pipe": "is not a file", tmp_path / ("a" * 300): "name too long"}
    for path, problem in {**bad, tmp_path / "round": "cannot be written", tmp_path / "a\0b": "null"}.items():
        with pytest.raises(SettingsError, match=problem):
            run.save(path)


def test_a_file_is_replaced_as_a_whole_or_stays_as_it_was(tmp_path):
    path, link = tmp_path / "r.csv", tmp_path / "link.csv"
    path.write_text("before")
    path.chmod(0o640)
    link.symlink_to(path.name)

    def stopped():
        yield "half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_text(link, stopped())
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 2
    write_text(link, ["after \ud83d\r\n"])
    assert path.read_bytes() == b"after \\ud83d\r\n" and link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    write_text(tmp_path / "new", ["x"])
    (tmp_path / "other").write_text("x")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


def test_the_text_is_a_summary_of_a_few_lines():
    report = replace(screen_compounds(), missing=("\x1b[31mno trace",))
    lines = repr(RunReport(report)).splitlines()
    assert lines[0].startswith(f"dispatch {report.id} (screen_compounds): failed, ")
    assert lines[1].startswith("time of all attempts: ") and "code 7" in lines[1]
    (dock,) = [line for line in lines if line.startswith("dock[2]")]
    assert "completed, 46 attempts (40 value, 6 preempted)" in dock and "e2-standard-2 (Spot) x 46" in dock
    assert "rank[13]: not run" in lines and not any(line.startswith(":list:") for line in lines)
    assert sum(line.startswith("to change: ") for line in lines) == 5 and lines[-1] == "not known: no trace"
    assert len(repr(RunReport(many_electrons(200, 0))).splitlines()) == 33
    assert "running" in repr(RunReport(still_running()))


def test_a_page_has_all_items_in_its_data_only_if_they_are_asked_for(tmp_path):
    run = RunReport(many_electrons(10, 20_001))
    for items, left_out in ((False, True), (True, False)):
        text = run.save(tmp_path / "r.html", items=items).read_text()
        assert ("20,001 items of map_0[0]" in text) == left_out


def test_a_notebook_shows_the_timeline():
    assert "<svg" in RunReport(screen_compounds())._repr_html_()
