"""The page of a report: what it shows, what it never does with a user's texts, and its limits."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from sample_reports import (
    BEGAN,
    GB,
    grid_sweep,
    many_electrons,
    screen_compounds,
    small,
    still_running,
)  # fmt: skip

from covalent_parallel_plugin.results.report.electron_rows import electron_rows
from covalent_parallel_plugin.results.report.html import page, timeline_markup
from covalent_parallel_plugin.results.report.model import (
    CODE,
    COMPLETED,
    FAILED,
    LONE,
    MAP,
    NOT_RUN,
    RUNNING,
    SERVICE,
    WAITING,
    Electron,
    ElectronFailure,
    Items,
    Report,
    Span,
    TaskAttempt,
)  # fmt: skip

VOID = {"meta", "br", "img", "input", "hr", "link"}
HOSTILE = "</script><b>\x1b[31mred\x1b[0m \x00\x07\ud800\u202e<img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """What is in a page: its elements, its text by section, and whether its tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.data = ""
        self._open: list[tuple[str, str]] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("id") or ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if any(tag == "script" and name == "data" for tag, name in self._open):
            self.data += data
        elif not self._open or self._open[-1][0] not in ("script", "style"):
            section = next((name for tag, name in self._open if tag in ("section", "header")), "")
            self.text[section] = self.text.get(section, "") + data

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    def paths(self, kind: str) -> int:
        return sum(attrs.get("class") == kind for _, attrs in self.elements)


@pytest.mark.parametrize("made", [screen_compounds, small, still_running, grid_sweep])
def test_it_asks_nothing_of_anyone(made):
    text = page(made())
    for tag, attributes in Page(text).elements:
        for name, value in attributes.items():
            assert "//" not in (value or "") or (tag, name) == ("a", "href"), (tag, name, value)
    assert not re.search(r"@import|url\((?!#)", text)
    assert "xmlns" not in text


def test_it_shows_what_happened_and_what_to_change():
    shown = Page(page(screen_compounds())).text
    header = " ".join(shown[""].split())
    assert "✕ failed" in header
    assert "9 electrons: 1 failed, 1 not run" in header
    assert "14:02:11 on 24 Nov 2026, UTC" in header
    assert "7c1e9a52-0d4b-4f6e-9a55-2f1c8e7b3d10" in header
    assert "train[7] was killed, most likely for want of memory" in shown["advice"]
    assert "The end waited for prepare[0] → dock[2] → train[6]." in shown["timeline"]
    assert "did not run: it needs train[7], which failed" in shown["timeline"]
    assert "3 service nodes" in shown["timeline"]
    assert "item 317: 6 m 52 s" in shown["items-2"]
    assert "30.0 GB of 30.0 GB" in shown["electrons"]
    assert "46 (6 lost)" in shown["electrons"]
    assert "epoch 12 loss 0.219" in shown["failures"]
    assert "covalent-parallel logs 7c1e9a52-0d4b-4f6e-9a55-2f1c8e7b3d10 7 --both" in shown["failures"]
    assert "item 44: exception" in shown["failures"]
    assert "about $0.59 (prices of 2026-11-01, list prices)" in " ".join(shown["cost"].split())
    assert "counts as waiting" in shown["how"]


def test_the_data_are_inside_as_json():
    data = json.loads(Page(page(screen_compounds())).data)
    assert (data["version"], data["name"], len(data["electrons"])) == (1, "screen_compounds", 12)


def test_a_running_one_is_marked_as_such():
    shown = Page(page(still_running())).text
    assert "Still running: this report was made at 14:17:11 on 24 Nov 2026, UTC" in " ".join(shown[""].split())


def test_without_a_price_it_says_so_and_never_nothing():
    report = screen_compounds()
    one, *others = report.machines
    part = Page(page(replace(report, machines=(replace(one, price=None), *others)))).text["cost"]
    assert part.count("no price") == 2
    assert f"no price for {one.type}, {one.region}" in part
    assert f"filter by the label covalent-dispatch: {report.id}" in part
    none = Page(page(replace(report, machines=tuple(replace(each, price=None) for each in report.machines)))).text
    assert "No price for 9.38 machine-hours" in none["cost"]
    assert not any("$" in text for name, text in none.items() if name != "advice")


def test_the_users_texts_stay_texts():
    report = screen_compounds()
    electrons = tuple(
        replace(each, name=HOSTILE, failure=ElectronFailure(HOSTILE, HOSTILE, HOSTILE)) for each in report.electrons
    )
    tips = tuple(
        replace(each, title=HOSTILE, text=HOSTILE, remedy=HOSTILE, gain=HOSTILE) for each in report.suggestions
    )
    hostile = replace(report, name=HOSTILE, id=HOSTILE, electrons=electrons, suggestions=tips, missing=(HOSTILE,))
    for text in (page(hostile), timeline_markup(hostile)):
        found = Page(text)
        assert "img" not in found.tags
        assert "onerror" not in {name for _, attributes in found.elements for name in attributes}
        assert not set("\x00\x07\x1b\u202e") & set(text)
        text.encode()
    assert not set("<>&") & set(Page(page(hostile)).data)
    assert Page(page(hostile)).text["failures"].count("</script><b>red <img") >= 2
    assert sum(tag == "script" for tag, _ in Page(page(hostile)).elements) == 2


def test_long_names_and_messages_are_shortened():
    electron = replace(
        small().electrons[0], name="x" * 100_000, failure=ElectronFailure("E", "y" * 100_000), state=FAILED
    )
    text = page(replace(small(), name="z" * 100_000, electrons=(electron,)))
    outside = text.replace(Page(text).data, "")
    assert len(outside) < 60_000


def test_an_item_that_did_not_return_is_drawn_as_such():
    text = page(screen_compounds())
    assert "<title>item 44: " in text
    assert re.search(r"<title>item 44: [^<]*, exception</title>", text)


ATTEMPT = TaskAttempt(0, 0, 0, "value", (Span(CODE, BEGAN, BEGAN),))
ODD = {
    "nothing": Report("dispatch", "id", "", "", BEGAN),
    "no times": Report("dispatch", "id", "a", COMPLETED, BEGAN, electrons=(Electron(0, "a", LONE, COMPLETED),)),
    "no attempts": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN, BEGAN, BEGAN + 3,
        (Electron(0, "a", LONE, COMPLETED, (), BEGAN, BEGAN + 3), Electron(1, "b", LONE, NOT_RUN, (0,))),
    ),
    "zero duration": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN, BEGAN, BEGAN,
        (Electron(0, "a", LONE, COMPLETED, (), BEGAN, BEGAN, (ATTEMPT,)),),
    ),
    "service nodes only": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN, BEGAN, BEGAN + 1, (Electron(0, ":list:", SERVICE, COMPLETED),)
    ),
    "an attempt without phases": Report(
        "dispatch", "id", "a", RUNNING, BEGAN + 5, BEGAN,
        electrons=(Electron(0, "a", LONE, RUNNING, (), BEGAN, None, (TaskAttempt(0, 0, 0, "", ()),)),),
    ),
    "a map of nothing": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN, BEGAN, BEGAN + 1,
        (Electron(0, "m", MAP, COMPLETED, (), BEGAN, BEGAN + 1, (), Items(0, (), (), (), (), (), ())),),
    ),
    "items of no time, without attempts": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN, BEGAN, BEGAN + 1,
        (Electron(0, "m", MAP, COMPLETED, (), BEGAN, BEGAN + 1, (), Items(
            2, (0, 1), (0, 0), (0, 0), (BEGAN, BEGAN), (0.0, 0.0), ("value", "value"))),),
    ),
    "a map whose tasks are known and its items are not": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN, BEGAN, BEGAN + 1,
        (Electron(0, "m", MAP, COMPLETED, (), BEGAN, BEGAN + 1, (ATTEMPT, replace(ATTEMPT, task=1)),
                  Items(2, (), (), (), (), (), ())),),
    ),
    "14 days": Report(
        "dispatch", "id", "a", COMPLETED, BEGAN + 14 * 86400, BEGAN, BEGAN + 14 * 86400,
        (Electron(0, "a", LONE, COMPLETED, (), BEGAN, BEGAN + 14 * 86400, (TaskAttempt(
            0, 0, 0, "value", (Span(WAITING, BEGAN, BEGAN + 9e4), Span(CODE, BEGAN + 9e4, BEGAN + 14 * 86400))),)),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_an_odd_dispatch_has_a_page(name):
    shown = Page(page(ODD[name])).text
    assert "How this was measured" in shown["how"]
    assert not re.search(r"\b(nan|inf|None)\b", "".join(shown.values()))
    timeline_markup(ODD[name])


def test_ticks_suit_the_time():
    assert "+2 d" in Page(page(ODD["14 days"])).text["timeline"]
    assert "+1 s" in Page(page(small())).text["timeline"] or "+500 ms" in Page(page(small())).text["timeline"]


def test_many_electrons_share_rows_and_stay_small():
    text = page(many_electrons(1000, 10_000))
    assert len(text.encode()) < 5_000_000
    shown = Page(text).text
    assert "share a row" in shown["timeline"]
    assert "more maps" in "".join(shown.values())
    assert text.count('<tr id="e') == 1000


def test_too_many_items_are_drawn_together():
    text = Page(page(many_electrons(1, 10_000)))
    assert "10,000 items in 4 tasks are too many to draw one by one" in text.text["items-0"]
    assert text.paths("median") == 1
    assert len(page(many_electrons(1, 3000))) > len(page(many_electrons(1, 3001)))


def test_a_notebook_has_the_timeline_alone():
    found = Page(timeline_markup(screen_compounds()))
    assert "body" not in found.tags
    assert "script" not in found.tags
    assert not any(tag == "a" for tag, _ in found.elements)


def test_a_share_of_memory_is_never_out_of_its_meter():
    report = small()
    attempt = replace(report.electrons[0].attempts[0], peak_bytes=9 * GB)
    text = page(replace(report, electrons=(replace(report.electrons[0], attempts=(attempt,)),)))
    assert "width:100%" in text


def test_items_of_less_than_a_millisecond_have_a_histogram():
    found = Page(page(ODD["items of no time, without attempts"]))
    assert "median < 1 ms" in found.text["items-0"]
    assert found.paths("call") == 0


def test_a_dispatch_without_a_name_is_called_by_its_id():
    assert "Dispatch 0b1f6f0e" in Page(page(replace(small(), name=""))).text[""]


def test_many_lost_attempts_are_counted_and_not_marked():
    electron = screen_compounds().electrons[1]
    lost = [attempt for attempt in electron.attempts if attempt.end == "preempted"]
    many = replace(electron, attempts=electron.attempts + tuple(replace(lost[0], number=n) for n in range(2, 30)))
    found = Page(page(replace(small(), electrons=(many,))))
    assert "34 attempts that lost their machine or were killed are too many to mark" in found.text["timeline"]
    assert found.paths("pre") == 0


def test_a_sweep_shows_its_results_and_the_tasks_that_failed():
    found = Page(page(grid_sweep()))
    assert "23 done, 1 failed" in " ".join(found.text[""].split())
    assert "loss over two parameters" in found.text["results"]
    assert "rate=0.3,depth=6" in found.text["items-0"]
    assert "electrons" not in found.text


def test_what_was_not_seen_is_not_shown_as_zero():
    began = BEGAN + 10
    moment = TaskAttempt(0, 0, 0, "value", (Span(WAITING, BEGAN, began),), (began, began + 1))
    runs = replace(moment, end="", spans=(Span(CODE, BEGAN, began),))
    electrons = (
        Electron(0, "brief", LONE, COMPLETED, (), BEGAN, began, (moment,)),
        Electron(1, "runs", LONE, RUNNING, (), BEGAN, None, (runs,)),
    )
    brief, running = electron_rows(replace(still_running(), electrons=electrons))
    assert (brief.waited.text, brief.starting.text, brief.code.text) == ("10 s", "–", "< 1 ms")
    assert (running.waited.text, running.starting.text, running.code.text) == ("–", "–", "10 s")


def test_a_sweep_on_this_machine_has_no_machine_hours_and_no_clock_but_this_ones():
    report = grid_sweep()
    (electron,) = report.electrons
    local = replace(electron, attempts=tuple(replace(each, on_machine=None) for each in electron.attempts))
    text = Page(page(replace(report, electrons=(local,), machines=()))).text
    assert "All times: the clock of the machine that ran the sweep." in text["how"]
    assert not re.search("Covalent's server|Batch", text["how"]) and "0.00" not in text["timeline"]
    assert "When a task was submitted" in Page(page(report)).text["how"]
