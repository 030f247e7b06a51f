import csv
import io
import json
from dataclasses import replace

from sample_reports import screen_compounds

from covalent_parallel_plugin.results.report.model import PHASES
from covalent_parallel_plugin.results.report.rows import columns, csv_lines, json_lines

REPORT = screen_compounds()
ATTEMPTS = [(electron, attempt) for electron in REPORT.electrons for attempt in electron.attempts]


def read(lines):
    return list(csv.reader(io.StringIO("".join(lines), newline="")))


def test_csv_has_a_row_for_each_attempt_with_its_times_and_its_seconds_in_each_phase():
    text = "".join(csv_lines(REPORT, of_items=False))
    assert text.count("\r\n") == len(ATTEMPTS) + 1 and "\n" not in text.replace("\r\n", "")
    headings, *rows = read(text)
    assert tuple(headings) == columns(of_items=False)
    assert len(rows) == len(ATTEMPTS) == 54
    for cells, (electron, attempt) in zip(rows, ATTEMPTS, strict=True):
        row = dict(zip(headings, cells, strict=True))
        assert (row["id"], row["node"], row["electron"]) == (REPORT.id, str(electron.node), electron.name)
        assert (row["task"], row["attempt"], row["end"]) == (str(attempt.task), str(attempt.number), attempt.end)
        assert abs(sum(float(row[f"{phase}_seconds"]) for phase in PHASES) - float(row["seconds"])) < 0.01
        assert abs(float(row["ended"]) - float(row["began"]) - float(row["seconds"])) < 0.01
        assert abs(float(row["machine_seconds"]) - attempt.machine_seconds) < 0.01
        assert row["spot"] == ("true" if attempt.machine.spot else "false")
        assert row["peak_bytes"] == ("" if attempt.peak_bytes is None else str(attempt.peak_bytes))


def test_csv_and_json_have_the_same_rows_of_attempts_and_of_items():
    for of_items, many in ((False, 54), (True, 480)):
        found = json.loads("".join(json_lines(REPORT, of_items)))
        headings, *rows = read(csv_lines(REPORT, of_items))
        assert (found["version"], found["id"]) == (1, REPORT.id)
        assert len(found["rows"]) == len(rows) == many
        for in_json, in_csv in zip(found["rows"], rows, strict=True):
            assert list(in_json) == headings
            texts = ["" if cell is None else json.dumps(cell).strip('"') for cell in in_json.values()]
            assert in_csv == texts
        assert ("index" in found["electrons"][1]["items"]) == of_items


def test_a_text_that_a_spreadsheet_would_compute_is_marked_in_csv_and_whole_in_json():
    names = ('=HYPERLINK("http://x","y")', "+1", "-1", "@a", "\tx", 'a "b", c\nd', "half \ud83d", "5 = 5")
    names = (*names, "\x1b[2J\0\x9b")
    electrons = tuple(replace(REPORT.electrons[0], node=node, name=name) for node, name in enumerate(names))
    report = replace(REPORT, electrons=electrons)
    _, *rows = read(csv_lines(report, of_items=False))
    whole = [*names[:6], r"half \ud83d", *names[7:]]
    assert [row[2] for row in rows] == [*(f"'{name}" for name in whole[:5]), *whole[5:8], r"\x1b[2J\x00\x9b"]
    assert [row["electron"] for row in json.loads("".join(json_lines(report, of_items=False)))["rows"]] == whole


def test_a_report_without_attempts_has_no_rows():
    report = replace(REPORT, electrons=())
    assert [len(read(csv_lines(report, of_items))) for of_items in (False, True)] == [1, 1]
    assert json.loads("".join(json_lines(report, of_items=True)))["rows"] == []
