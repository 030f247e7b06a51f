"""Inputs of this machine: the versions of their contents, read once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from by_hand import text

from covalent_parallel_plugin.sweep.staging.inputs import DigestCache, InputError, pin_inputs, stage_inputs

LATER_NS = 10**19


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "deep" / "b").write_text("b")
    return folder


def version(path: Path) -> str:
    return pin_inputs({"base": text(str(path))}, path.parent / "out" / "cache.json")["base"]


def test_a_version_is_that_of_the_content(base: Path) -> None:
    before = version(base)
    os.utime(base / "a", ns=(1, 1))
    (base / "a").chmod(0o600)
    assert version(base) == before
    assert version(base.rename(base.with_name("other"))) == before
    base = base.with_name("other")
    (base / "a").write_text("A")
    changed = version(base)
    (base / "a").rename(base / "c")
    assert len({before, changed, version(base)}) == 3


def test_a_file_is_an_input_too(base: Path) -> None:
    assert version(base / "a") != version(base / "deep" / "b")


def test_links_are_followed_and_loops_are_not(base: Path) -> None:
    (base / "up").symlink_to("..")
    (base / "self").symlink_to(".")
    (base / "nowhere").symlink_to("gone")
    os.mkfifo(base / "pipe")
    (base.parent / "outside").write_text("1")
    (base / "linked").symlink_to("../outside")
    # Not below `up`, whose content the cache is part of
    (base / "up").unlink()
    before = version(base)
    (base.parent / "outside").write_text("2")
    assert version(base) != before


def test_a_file_that_has_not_changed_is_not_read_again(base: Path) -> None:
    cache = base.parent / "cache.json"
    for _ in range(2):
        digests = DigestCache(cache, now_ns=lambda: LATER_NS)
        digest = digests.digest(base / "a")
        digests.save()
    known = json.loads(cache.read_bytes())
    assert list(known) == [str(base / "a")]
    known[str(base / "a")][-1] = "remembered"
    cache.write_text(json.dumps(known))
    assert DigestCache(cache).digest(base / "a") == "remembered"
    (base / "a").write_text("other")
    assert DigestCache(cache).digest(base / "a") not in ("remembered", digest)


def test_a_file_that_has_just_changed_is_not_remembered(base: Path) -> None:
    (base.parent / "out").mkdir()
    version(base)
    assert json.loads((base.parent / "out" / "cache.json").read_bytes()) == {}


@pytest.mark.parametrize("damaged", ["", "[]", "{", '{"%s": 3}', '{"%s": []}', "null"])
def test_a_damaged_cache_costs_time_only(base: Path, damaged: str) -> None:
    right = version(base / "a")
    (base / "out").mkdir()
    (base / "out" / "cache.json").write_text(damaged.replace("%s", str(base / "a")))
    assert version(base / "a") == right


def test_a_sweep_without_a_folder_gets_none(base: Path) -> None:
    version(base)
    assert not (base.parent / "out").exists()


def test_what_the_sweep_itself_writes_into_an_input_is_no_part_of_it(base: Path) -> None:
    inputs = {"base": text(str(base))}
    before = pin_inputs(inputs, base / "out" / "cache.json")
    (base / "out" / "task").mkdir(parents=True)
    (base / "out" / "task" / "stdout.txt").write_text("x")
    assert pin_inputs(inputs, base / "out" / "cache.json") == before
    assert pin_inputs(inputs, base.parent / "out" / "cache.json") != before


def test_a_missing_input_is_named(base: Path) -> None:
    with pytest.raises(InputError, match=rf"^inputs: base: {base}/no cannot be read: No such file or directory: name"):
        version(base / "no")


def test_a_plan_asks_nobody_about_buckets(base: Path) -> None:
    inputs = {"base": text(str(base)), "faces": text("gs://bucket/faces"), "new": text("gs://bucket/new")}
    pinned = pin_inputs(inputs, base.parent / "out" / "cache.json", last={"faces": "7", "base": "old", "gone": "1"})
    assert pinned == {"base": version(base), "faces": "7"}


def test_a_local_input_stays_where_it_is_and_loads_nothing_of_googles(base: Path) -> None:
    assert stage_inputs({"base": text(str(base))}, {}, base.parent / "out") == {"base": base}
    code = (
        "import sys, covalent_parallel_plugin.sweep.tasks, covalent_parallel_plugin.sweep.staging.inputs;"
        "print([name for name in sys.modules if name.split('.')[0] in ('google', 'covalent', 'jinja2')])"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"
