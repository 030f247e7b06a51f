"""Every block of code in README and the documentation is run, here or by a test that its page names, or is marked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from page_blocks import all_pages, blocks_of, mistakes, run_elsewhere

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

ROOT = Path(__file__).parents[2]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in all_pages(ROOT)}
HERE = {name for name, text in TEXTS.items() if not run_elsewhere(text) and any(b.is_run for b in blocks_of(text))}
PROGRAM = Path(__file__).with_name("page_program.py")
SECONDS = 900
WORKFLOW = """\
import covalent as ct
from covalent_parallel_plugin import GCPBatchExecutor, pmap

@pmap(executor=GCPBatchExecutor(max_parallel=2, keep_objects=True))
def train(rate):
    print("rate", rate)
    return 2 * rate

@ct.lattice
def search():
    return train([1, 2, 3])

if __name__ == "__main__":
    dispatch_id = ct.dispatch(search)()
    assert ct.get_result(dispatch_id, wait=True).result == [2, 4, 6]
    print(dispatch_id)
"""


@pytest.fixture(scope="module")
def environment(covalent_server: PrivateCovalentServer) -> dict[str, str]:
    paths = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(folder) for folder in (PROGRAM.parent, ROOT / "tests")),
    }
    return {**covalent_server.environment, **paths}


@pytest.fixture(scope="module")
def dispatch_id(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dispatch with a map `train`, which has ended; its objects are still in the bucket."""
    script = tmp_path_factory.mktemp("workflow") / "search.py"
    script.write_text(WORKFLOW)
    ended = run([str(script)], environment, script.parent)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.split()[-1]


@pytest.fixture(scope="module")
def kept_session(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which every `covalent-parallel dev` uses one that is kept, and starts none of its own."""
    folder = tmp_path_factory.mktemp("state")
    own = {**environment, "XDG_STATE_HOME": str(folder)}
    dev = ["-c", "from covalent_parallel_plugin.cli import main; main()", "dev"]
    started = run([*dev, "--keep", "--", "true"], own, folder)
    assert started.returncode == 0, started.stderr
    yield own
    assert run([*dev, "--stop"], own, folder).returncode == 0


def run(words: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("name", sorted(HERE))
def test_the_blocks_of_a_page_run(
    name: str, environment: dict[str, str], dispatch_id: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Those of README with a `dev` of its own, as a newcomer has it."""
    if "covalent-parallel dev " in TEXTS[name] and name != "README.md":
        environment = request.getfixturevalue("kept_session")
    ended = run([str(PROGRAM), str(ROOT / name), dispatch_id], environment, tmp_path)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_every_block_is_run_or_says_why_not(name: str) -> None:
    assert mistakes(TEXTS[name]) == []


@pytest.mark.parametrize("name", sorted(name for name, text in TEXTS.items() if run_elsewhere(text)))
def test_a_test_that_a_page_names_is_there_and_reads_the_page(name: str) -> None:
    test = (ROOT / run_elsewhere(TEXTS[name])).read_text(encoding="utf-8")
    assert Path(name).name in test or "guide_pages" in test


def test_blocks_are_run_and_what_is_not_says_why() -> None:
    """A page that loses its blocks, or marks them all, is noticed."""
    blocks = [block for text in TEXTS.values() for block in blocks_of(text)]
    marked = [block for block in blocks if block.reason]
    assert len([block for block in blocks if block.is_run]) > 45
    assert len(marked) <= 60
    assert [block for block in marked if len(block.reason.split()) < 2] == []


PAGE = """\
# A page

```python title="first.py"
print("first")
```

```console
$ python first.py
first
$ echo DISPATCH_ID
an-id
```

<!-- not run: needs a Google account -->
```sh
gcloud auth login
```

- In a list:

    ```python
    value = 1
    ```

```python
assert value == 1
```
"""


def test_the_blocks_of_a_page_are_found_with_what_is_said_of_them() -> None:
    blocks = [(block.language, block.title, block.reason, block.is_run) for block in blocks_of(PAGE)]
    assert blocks == [
        ("python", "first.py", "", False),
        ("console", "", "", True),
        ("sh", "", "needs a Google account", False),
        ("python", "", "", True),
        ("python", "", "", True),
    ]
    assert mistakes(PAGE) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Text:\n\n    pip install x\n", "indented"),
        ("```bash\nls\n```\n", "'bash'"),
        ("```\nls\n```\n", "''"),
        ("```text\n$ ls\n```\n", "`console` or `sh`"),
    ],
)
def test_a_block_that_is_neither_run_nor_marked_is_named(text: str, word: str) -> None:
    (mistake,) = mistakes(text)
    assert word in mistake


@pytest.mark.parametrize(
    ("block", "word"),
    [
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        ("```sh\nfalse\nexit 0\n```\n", "ended with 1"),
        ("```console\n$ echo one\ntwo\n```\n", "and not"),
    ],
)
def test_a_block_that_does_not_do_what_the_page_says_fails(block: str, word: str, tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE + block)
    folders = os.pathsep.join(str(folder) for folder in (PROGRAM.parent, ROOT / "tests"))
    environment = {**os.environ, "PYTHONPATH": folders, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = run([str(PROGRAM), str(tmp_path / "page.md"), "an-id"], environment, tmp_path)
    assert ended.returncode == 1
    assert f"page.md:{PAGE.count(chr(10)) + 1}:" in ended.stderr and word in ended.stderr
