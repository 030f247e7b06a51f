"""`key=value` and `NAME=JSON` as values: pure functions."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.cli.option_assignments import RequestError, read_option_assignments
from covalent_parallel_plugin.cli.plan.plan_request import read_arguments
from covalent_parallel_plugin.settings import OPTIONS, check, resolve

NEEDED = {"project_id": "my-project", "bucket_name": "some-bucket"}


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["labels=team=blue"], {"team": "blue"}),
        (["labels=team=blue, cost=x"], {"team": "blue", "cost": "x"}),
        (['labels={"team": "blue"}'], {"team": "blue"}),
        (["labels=team=blue", "labels=cost=x"], {"team": "blue", "cost": "x"}),
        (["environment=LIST=1,2,3,OTHER=4"], {"LIST": "1,2,3", "OTHER": "4"}),
        (["environment=EQUATION=a=b"], {"EQUATION": "a=b"}),
        (["environment=EMPTY="], {"EMPTY": ""}),
        (["volumes=data=gs://bucket/prefix:rw"], {"data": "gs://bucket/prefix:rw"}),
        (["zones=us-east1-b,us-east1-c"], ["us-east1-b", "us-east1-c"]),
        (['zones=["us-east1-b"]'], ["us-east1-b"]),
        (["zones=us-east1-b", "zones=us-east1-c"], ["us-east1-b", "us-east1-c"]),
        (["requirements=numpy>=1.2,<2,scipy"], ["numpy>=1.2,<2", "scipy"]),
        (["requirements=covalent[a,b]==1,scipy"], ["covalent[a,b]==1", "scipy"]),
        (["machine_type=n2-standard-4"], "n2-standard-4"),
        (["memory=1", "memory=2"], "2"),
        (["container_options=--shm-size=1g,x"], "--shm-size=1g,x"),
        (["labels="], ""),
    ],
)
def test_each_form_of_a_value_is_read(texts: list[str], value: object) -> None:
    changes = read_option_assignments(texts)
    assert changes.mistakes == ()
    assert list(changes.values.values()) == [value]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("labels=team", "labels = 'team' holds 'team' without '='"),
        ("labels={", "labels = '{' is not JSON: "),
        ("zones=[", "zones = '[' is not JSON: "),
        ("vcpu=2", "'vcpu' is not an option (did you mean 'vcpus'?)"),
        ("=2", "'' is not an option"),
    ],
)
def test_what_cannot_be_read_is_a_mistake(text: str, said: str) -> None:
    changes = read_option_assignments([text])
    assert changes.values == {}
    assert len(changes.mistakes) == 1
    assert changes.mistakes[0].startswith(said)


def test_text_without_an_equals_sign_is_refused() -> None:
    with pytest.raises(RequestError, match="'spot' is not key=value"):
        read_option_assignments(["spot"])


@pytest.mark.parametrize("name", OPTIONS)
def test_the_default_of_every_option_can_be_written(name: str) -> None:
    default = OPTIONS[name].default
    text = "" if default is None or default == "" else json.dumps(default) if not isinstance(default, str) else default
    changes = read_option_assignments([f"{name}={text}"])
    assert changes.mistakes == ()
    if not OPTIONS[name].required:
        assert check(resolve({**NEEDED, **changes.values}, {})) == check(resolve(NEEDED, {}))


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,9}", fullmatch=True), st.text()))
def test_any_mapping_can_be_written_as_json(mapping: dict[str, str]) -> None:
    assert read_option_assignments([f"environment={json.dumps(mapping)}"]).values == {"environment": mapping}


@pytest.mark.parametrize(
    ("pairs", "together", "read"),
    [
        ([], None, ([], {})),
        (["x=1", 'y="a=b"'], None, ([], {"x": 1, "y": "a=b"})),
        ([], '[1, "two"]', ([1, "two"], {})),
        (["y=null"], '{"x": 1}', ([], {"x": 1, "y": None})),
    ],
)
def test_arguments_are_read(pairs: list[str], together: str | None, read: object) -> None:
    assert read_arguments(pairs, together) == read


@pytest.mark.parametrize(
    ("pairs", "together", "said"),
    [
        (["x"], None, "--arg 'x' is not NAME=JSON"),
        (["x=big"], None, "text is written as '\"big\"'"),
        ([], "7", "--args '7' is neither a list nor an object"),
        ([], "[", "--args: '\\[' is not JSON"),
    ],
)
def test_arguments_that_cannot_be_read_are_refused(pairs: list[str], together: str | None, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        read_arguments(pairs, together)
