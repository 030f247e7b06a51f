"""Prices that a user gives: the file and its mistakes, what a machine costs, a report with prices, and the command."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.cli.prices import prices as command
from covalent_parallel_plugin.results.report.costs import cost_sentence
from covalent_parallel_plugin.results.report.model import MachineHours, Report
from covalent_parallel_plugin.results.report.prices import (
    PriceRow,
    Prices,
    priced,
    prices_document,
    read_prices,
    write_prices,
)
from covalent_parallel_plugin.results.report.prices_file import COLUMNS, PricesFileError, read_prices_file

TODAY = date(2026, 11, 28)
HEADER = ",".join(COLUMNS)
# Nobody asks such prices
INVENTED = f"""{HEADER}
n1-standard-4,,77,11,2026-11-01,us
n1-standard-4,us-east1,88,,2026-11-01,us
n1-standard-4,,99,,2026-11-20,them
n1,,7,3,2026-11-01,us
n1-highmem,,9,,2026-11-01,us
nvidia-tesla-t4,,500,100,2026-10-01,"the shop, by phone"
"""
# 2026-11-10, in seconds since 1970
NOVEMBER_10 = 1794268800.0


def invented() -> Prices:
    return Prices(read_prices_file(INVENTED.encode(), "prices.csv", TODAY))


def mistakes(text: str | bytes, name: str = "prices.csv") -> list[str]:
    with pytest.raises(PricesFileError) as caught:
        read_prices_file(text if isinstance(text, bytes) else text.encode(), name, TODAY)
    return str(caught.value).split("\n")


def test_each_mistake_of_a_csv_file_is_named_with_line_column_value_and_remedy() -> None:
    rows = """\
n1-standrd-4,,0,,2026-11-01,us
a2,us east1,-1,nan,2026-13-01,
n1,us-east1-b,"0,25",$3,2027-01-01,us
t4,,abc,,,us
nvidia-l4,,1e400,,2026-11-01,us
e2,,1,2,2026-11-01,us

n2-standard-4,,3,2026-11-01,us
n2-standard-8,,3,,2026-11-01,us
n2-standard-8,,4,,2026-11-01,"us, again"
"""
    found = mistakes(f"\ufeff{HEADER}\r\n{rows}")
    expected = [
        "prices.csv:2:1: machine = 'n1-standrd-4' is not a machine type: use a name such as n1-standard-4",
        "prices.csv:2:15: dollars_per_hour = '0' is out of range: write dollars, more than 0",
        "prices.csv:3:1: machine = 'a2' is a family whose machines bring GPUs: give the price of each type",
        "prices.csv:3:4: region = 'us east1' is not a region: use us-east1",
        "prices.csv:3:13: dollars_per_hour = '-1' is out of range",
        "prices.csv:3:16: spot_dollars_per_hour = 'nan' is not a finite number",
        "prices.csv:3:20: date = '2026-13-01' is not a date: write YYYY-MM-DD",
        "prices.csv:3:31: source is missing: write a value such as",
        "prices.csv:4:4: region = 'us-east1-b' is a zone: use its region, 'us-east1'",
        "prices.csv:4:15: dollars_per_hour = '0,25' is not a number: write dollars with a point, and no sign",
        "prices.csv:4:22: spot_dollars_per_hour = '$3' is not a number: write dollars with a point, and no sign",
        "prices.csv:4:25: date = '2027-01-01' is in the future",
        "prices.csv:5:1: machine = 't4' is short for a GPU: write nvidia-tesla-t4",
        "prices.csv:5:5: dollars_per_hour = 'abc' is not a number",
        "prices.csv:5:10: date is missing",
        "prices.csv:6:1: machine = 'nvidia-l4' comes with its machine: give the price of its type, such as g2-",
        "prices.csv:6:12: dollars_per_hour = '1e400' is not a finite number",
        "prices.csv:7:7: spot_dollars_per_hour = 2 is more than dollars_per_hour = 1: swap them",
        "prices.csv:9:1: has 5 cells, and there are 6 columns",
        "prices.csv:11:1: n2-standard-8 of 2026-11-01 has a price already, in line 10: keep one",
    ]
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("p.csv", "", ["p.csv: has no prices"]),
        ("p.csv", f"{HEADER}\n,,,,,\n", ["p.csv: has no prices"]),
        ("p.csv", "machine;source\nn1;us\n", ["p.csv:1:1: the columns 'machine;source' have no commas between them"]),
        (
            "p.csv",
            "machine,spot_dolars,dollars_per_hour,source,source\n",
            [
                "p.csv:1:1: the column 'date' is missing: add it, with a value such as 2026-11-28",
                "p.csv:1:9: the column 'spot_dolars' is unknown: did you mean 'spot_dollars_per_hour'?",
                "p.csv:1:45: the column 'source' occurs twice",
            ],
        ),
        ("p.csv", f'{HEADER}\nn1,,1,,2026-11-01,"us\n', ["p.csv:2:1: cannot be read as cells"]),
        ("p.csv", b"\xff\xfem", ["p.csv:1:1: the byte 0xff is not UTF-8"]),
        ("p.json", " ", ["p.json: is empty"]),
        ("p.json", "[]", ["p.json: has no prices"]),
        ("p.json", "[\n{,}]", ["p.json:2:2: is not JSON: Expecting property name"]),
        ("p.json", '{"version": 2, "prices": []}', ["p.json:1:1: is neither a list of objects"]),
        ("p.json", "[" * 100_000, ["p.json: is not JSON that can be read"]),
        (
            "p.txt",
            '[\n\t{"machine": ["n1"], "dollars_per_hour": true, "date": 20261101, "when": 1},\n 5]',
            [
                "p.txt:2:2: the key 'source' is missing",
                "p.txt:2:14: machine = ['n1'] is not text",
                "p.txt:2:42: dollars_per_hour = True is a bool: write dollars",
                "p.txt:2:56: date = 20261101 is not text: write it in double quotes",
                "p.txt:2:66: the key 'when' is unknown",
                "p.txt:3:2: is not an object",
            ],
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_table_of_prices_is_refused_with_the_place(
    name: str, text: str | bytes, expected: list[str]
) -> None:
    found = mistakes(text, name)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected


ROWS = st.builds(
    lambda machine, region, dollars, share, day, source: PriceRow(
        machine, region, dollars, share and dollars * share, day.isoformat(), source
    ),
    st.sampled_from(["n1-standard-4", "n1", "n2-highmem", "nvidia-tesla-t4", "e2-micro", "a2-highgpu-1g"]),
    st.sampled_from(["", "us-east1", "europe-west4"]),
    st.floats(1e-9, 100_000),
    st.none() | st.floats(0.01, 1),
    st.dates(date(1990, 1, 1), TODAY),
    st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30),
)  # fmt: skip


@given(rows=st.lists(ROWS, min_size=1, max_size=5, unique_by=lambda row: (row.machine, row.region, row.date)))
def test_prices_that_are_written_are_read_again_as_csv_and_as_json(
    tmp_path_factory: pytest.TempPathFactory, rows: list[PriceRow]
) -> None:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(COLUMNS)
    table.writerows([["" if (value := getattr(row, name)) is None else value for name in COLUMNS] for row in rows])
    assert read_prices_file(text.getvalue().encode(), "p.csv", TODAY) == tuple(rows)
    assert read_prices_file(prices_document(rows).encode(), "p.json", TODAY) == tuple(rows)
    path = tmp_path_factory.mktemp("prices") / "prices.json"
    write_prices(path, rows)
    assert read_prices(path) == Prices(tuple(rows))


@pytest.mark.parametrize(
    ("machine", "spot", "region", "dollars"),
    [
        ("n1-standard-4", False, "us-east1", 88),  # the region's before that of all
        ("n1-standard-4", False, "europe-west4", 77),  # of the latest date that is not after
        ("n1-standard-4", True, "us-east1", 11),  # the region's has no Spot price
        ("n1-standard-8", False, "us-east1", 56),  # the family's for each vCPU
        ("n1-standard-8", True, "us-east1", 24),
        ("n1-highmem-8", False, "us-east1", 72),  # the kind's before the series'
        ("n1-standard-8", None, "us-east1", None),
        ("n1-custom-8-4096", False, "us-east1", None),
        ("custom-8-4096", False, "us-east1", None),
        ("f1-micro", False, "us-east1", None),
        ("n2-standard-4", False, "us-east1", None),
        ("", False, "us-east1", None),
    ],
)
def test_the_price_of_a_machine_is_the_nearest_one_that_is_given(
    machine: str, spot: bool | None, region: str, dollars: float | None
) -> None:
    price = invented().price_of(machine, spot, region, date(2026, 11, 10))
    assert (price and price.dollars_per_hour) == dollars


def test_a_gpu_adds_its_price_and_without_one_the_machine_has_none() -> None:
    price = invented().price_of("n1-standard-4", False, "", TODAY, "nvidia-tesla-t4", 2)
    assert price is not None
    assert (price.dollars_per_hour, price.date, price.source) == (1099, "2026-10-01", "them; the shop, by phone")
    assert invented().price_of("n1-standard-4", False, "", TODAY, "nvidia-tesla-p4", 1) is None
    # Before the first date the earliest one counts
    early = invented().price_of("n1-standard-4", False, "", date(2020, 1, 1))
    assert early is not None
    assert early.date == "2026-11-01"


def report_of(*machines: MachineHours) -> Report:
    return Report("dispatch", "d-1", "flow", "COMPLETED", NOVEMBER_10 + 90, NOVEMBER_10, machines=machines)


def test_a_report_says_what_has_a_price_and_what_has_none_and_never_0() -> None:
    known = MachineHours("n1-standard-4", False, "us-east1", 3, 1800.0, 0.0)
    tiny = replace(known, seconds=0.01)
    spot = MachineHours("n1-standard-8", True, "us-east1", 1, 3600.0, 0.0, gpu_type="nvidia-tesla-p4", gpu_count=2)
    none = MachineHours("n2-standard-2", None, "", 1, 3600.0, 0.0)
    assert cost_sentence(priced(report_of(known), invented())) == "about $44.00 (prices of 2026-11-01, us)"
    assert cost_sentence(priced(report_of(tiny), invented())).startswith("less than $0.01 (prices of")
    assert cost_sentence(priced(report_of(known, spot, none), invented())) == (
        "about $44.00 (prices of 2026-11-01, us) for 0.5 of 2.5 machine-hours; no price for n1-standard-8 with"
        " 2 nvidia-tesla-p4, Spot, us-east1; n2-standard-2, Spot or not is not known"
    )
    assert cost_sentence(priced(report_of(spot, none), invented())).startswith("no price for 2 machine-hours; covalent")
    assert cost_sentence(report_of(known)).startswith("no price for 0.5 machine-hours")
    assert cost_sentence(report_of()) == ""


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2, "prices": []}', '{"version": 1, "prices": [{"machine": "n1"}]}', "[" * 9999]
)
def test_stored_prices_that_cannot_be_read_are_a_sentence_in_the_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    (missing,) = priced(report_of(), read_prices(path)).missing
    assert str(path) in missing
    assert "covalent-parallel prices set FILE" in missing
    for values in (
        {"dollars_per_hour": 0}, {"dollars_per_hour": None}, {"date": "x"}, {"spot_dollars_per_hour": "1"},
        {"dollars_per_hour": True}, {"dollars_per_hour": 10**400}, {"spot_dollars_per_hour": 1e308},
    ):  # fmt: skip
        row = {
            "machine": "n1",
            "region": "",
            "dollars_per_hour": 1,
            "spot_dollars_per_hour": None,
            "date": "2026-11-01",
        }
        path.write_text(json.dumps({"version": 1, "prices": [{**row, "source": "us", **values}]}))
        assert read_prices(path).problem
    assert read_prices(tmp_path).problem
    # A pipe is not waited for
    path.unlink()
    os.mkfifo(path)
    assert read_prices(path).problem.startswith(f"The file of prices {path} cannot be read: ")
    assert read_prices(tmp_path / "none.json") == Prices()


def test_the_command_sets_all_or_nothing_shows_and_clears(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        ended = CliRunner().invoke(command, arguments, env={"XDG_DATA_HOME": str(tmp_path / "data")})
        return ended.exit_code, ended.output

    stored = tmp_path / "data" / "covalent-parallel" / "prices.json"
    assert run("show")[1].startswith("No prices are set")
    (tmp_path / "prices.csv").write_text(INVENTED)
    assert run("set", str(tmp_path / "prices.csv")) == (0, f"6 prices are set, in {stored}\n")
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    before = stored.read_bytes()
    (tmp_path / "wrong.csv").write_text(INVENTED.replace("77", "0"))
    with pytest.raises(PricesFileError):
        CliRunner().invoke(
            command,
            ["set", str(tmp_path / "wrong.csv")],
            env={"XDG_DATA_HOME": str(tmp_path / "data")},
            catch_exceptions=False,
        )
    assert stored.read_bytes() == before
    table = run("show")[1].splitlines()
    assert table[1].split() == ["n1-standard-4", "all", "77", "11", "2026-11-01", "us"]
    assert table[4].startswith("n1, a vCPU")
    (tmp_path / "again.json").write_text(run("show", "--json")[1])
    assert run("clear") == (0, f"{stored} is removed\n")
    assert run("clear") == (0, "No prices were set.\n")
    assert json.loads(run("show", "--json")[1]) == {"version": 1, "prices": []}
    assert run("set", str(tmp_path / "again.json"))[0] == 0
    assert stored.read_bytes() == before
    assert [path.name for path in stored.parent.iterdir()] == ["prices.json"]
    stored.write_text("{")
    assert run("show")[0] == 1
