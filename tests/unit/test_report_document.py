import json
import math

from covalent_parallel_plugin.results.report.document import document
from covalent_parallel_plugin.results.report.model import (
    CODE,
    COMPLETED,
    FAILED,
    MAP,
    WAITING,
    Electron,
    ElectronFailure,
    Items,
    MachineHours,
    Price,
    Report,
    ResultTable,
    Span,
    TaskAttempt,
    UsedMachine,
)

ITEMS = Items(3, (0, 1, 2), (0, 0, 0), (0, 1, 0), (15.0, 15.5, 17.25), (2.0, 4.0, math.nan), ("value",) * 3)
ATTEMPT = TaskAttempt(
    0,
    0,
    0,
    "value",
    (Span(WAITING, 10.0, 15.0), Span(CODE, 15.0, 20.12345)),
    (14.0, 21.0),
    UsedMachine("e2-standard-2"),
)
REPORT = Report(
    "dispatch", "d1", "</script><b>", COMPLETED, 30.0, 9.0, math.inf,
    electrons=(
        Electron(3, "dock", MAP, COMPLETED, (1,), attempts=(ATTEMPT, ATTEMPT), items=ITEMS),
        Electron(4, "half \ud83d", "lone", FAILED, failure=ElectronFailure("ValueError", "no"), attempts=(ATTEMPT,)),
    ),
    machines=(
        MachineHours("e2-standard-2", True, "us-east1", 2, 3600.0, 0.0, Price(0.0268123, "2026-11-01", "me")),
        MachineHours("", None, "", 1, 3600.0, 0.0),
    ),
    results=ResultTable(("lr",), ("loss",), ({"lr": 1e-9, "loss": math.nan}, {"lr": True, "loss": None})),
    facts={"covalent": "0.240"},
)  # fmt: skip


def test_a_report_is_json_with_finite_numbers_and_whole_characters():
    found = json.loads(json.dumps(document(REPORT), allow_nan=False, ensure_ascii=False).encode())
    assert (found["version"], found["kind"], found["id"], found["name"]) == (1, "dispatch", "d1", "</script><b>")
    assert found["ended"] is None and found["seconds"] is None and found["began"] == 9.0
    dock, half = found["electrons"]
    assert dock["attempts"][0]["spans"] == [["waiting", 10.0, 15.0], ["code", 15.0, 20.123]]
    assert dock["attempts"][0]["on_machine"] == [14.0, 21.0]
    assert dock["attempts"][0]["machine"] == {"type": "e2-standard-2", "spot": None, "zone": "", "instance": ""}
    assert dock["phases"] == {"waiting": 10.0, "code": 10.247} and dock["machine_seconds"] == 14.0
    assert found["phases"] == {"waiting": 15.0, "code": 15.37}
    assert dock["parents"] == [1] and dock["attempt_ends"] == {"value": 2} and dock["failure"] is None
    assert dock["items"]["index"] == [0, 1, 2] and dock["items"]["took"] == [2.0, 4.0, None]
    assert dock["items"]["seconds"] == {"sum": 6.0, "shortest": 2.0, "median": 3.0, "longest": 4.0}
    assert half["name"] == r"half \ud83d" and half["items"] is None
    assert half["failure"] == {"error": "ValueError", "message": "no", "last_lines": ""}
    priced, unpriced = found["machines"]
    assert priced["price"] == {"dollars_per_hour": 0.0268123, "date": "2026-11-01", "source": "me"}
    assert priced["dollars"] == 0.0268123 and unpriced["dollars"] is None and unpriced["price"] is None
    assert found["results"]["rows"] == [{"lr": 1e-9, "loss": None}, {"lr": True, "loss": None}]
    assert found["facts"] == {"covalent": "0.240"} and found["left_out"] == []


def test_a_document_may_have_the_sums_of_items_and_attempts_alone_and_says_so():
    found = document(REPORT, most_items=2, most_attempts=1)
    dock, half = found["electrons"]
    assert "index" not in dock["items"] and dock["items"]["ran"] == 3 and dock["items"]["ends"] == {"value": 3}
    assert dock["attempts"] is None and dock["phases"] == {"waiting": 10.0, "code": 10.247}
    assert len(half["attempts"]) == 1
    assert found["left_out"] == ["3 items of dock[3]", "2 attempts of dock[3]"]
    # What nobody asked for is not left out
    unasked = document(REPORT, items=False)
    assert "index" not in unasked["electrons"][0]["items"] and unasked["left_out"] == []
    assert document(REPORT, most_items=3, most_attempts=3) == document(REPORT)
