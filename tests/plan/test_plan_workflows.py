"""Lattices in users' files: which nodes have which Jobs, and what is said of a file, a name or an argument that is
wrong."""

from __future__ import annotations

from typing import Any

import pytest
from planner import Ended, Planner

HEAD = """
import covalent as ct

here = {"project_id": "my-project", "bucket_name": "some-bucket"}
small = ct.executor.GCPBatchExecutor(**here)
large = ct.executor.GCPBatchExecutor(**here, machine_type="n2-standard-32", vcpus=32, memory=128000)
"""
MIXED = (
    HEAD
    + """
@ct.electron(executor=small)
def load(name):
    return [name]

@ct.electron(executor=large)
def train(data):
    return data

@ct.electron(executor="gcpbatch")
def configured(data):
    return data

@ct.electron(executor="local")
def plot(data):
    return data

@ct.electron
def inherited(data):
    return data

@ct.lattice(executor=small, workflow_executor="local")
def mixed(name="a"):
    first, second = load(name), load(name + "b")
    return plot(inherited(configured(train([first, second]))))
"""
)
ARGUMENTS = (
    HEAD
    + """
@ct.electron(executor=small)
def work(*args):
    return args

@ct.lattice(executor=small)
def shaped(sizes, scale, offset=0):
    return [work(size, scale) for size in sizes]
"""
)
SUBLATTICE = (
    HEAD
    + """
@ct.electron(executor=large)
def inside(x):
    return x

@ct.lattice(executor=small)
def inner(x):
    return inside(x)

@ct.lattice(executor=small, workflow_executor=small)
def outer(x=1):
    return ct.electron(inner)(x)
"""
)

DECORATED_TWICE = SUBLATTICE.replace(
    "@ct.lattice(executor=small)", "@ct.electron\n@ct.lattice(executor=small)"
).replace("ct.electron(inner)", "inner")


def names(job: dict[str, Any]) -> list[str]:
    return [node["name"] for node in job["nodes"]]


def planned(plan: Planner, text: str, *arguments: str) -> Ended:
    return plan(plan.write("workflow.py", text), "--format", "json", *arguments)


def machine(job: dict[str, Any]) -> str:
    return str(job["job"]["allocationPolicy"]["instances"][0]["policy"].get("machineType", ""))


def test_electrons_have_the_jobs_of_their_own_executors(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "my-project"\nbucket_name = "other-bucket"\nvcpus = 8\n')
    ended = planned(plan, MIXED)
    machines = {name: machine(job) for job in ended.jobs for name in names(job)}
    assert machines["train"] == "n2-standard-32"
    assert machines["load"] == machines["inherited"] == ""
    tasks = {name: job["job"]["taskGroups"][0]["taskSpec"] for job in ended.jobs for name in names(job)}
    assert tasks["configured"]["computeResource"]["cpuMilli"] == "8000"
    assert tasks["configured"]["environment"]["variables"]["COVALENT_PARALLEL_BUCKET"] == "other-bucket"
    assert "configured [node 6]: the executor is given by its name" in ended.stderr


def test_equal_jobs_are_shown_once_with_all_their_nodes(plan: Planner) -> None:
    jobs = planned(plan, MIXED).jobs
    (job,) = (job for job in jobs if "load" in names(job))
    assert names(job) == ["load", "load", "configured", "inherited"]
    assert [node["id"] for node in job["nodes"]] == [0, 2, 6, 7]
    assert job["job"]["labels"]["covalent-node"] == "0"
    assert job["job"]["labels"]["covalent-lattice"] == "mixed"


def test_electrons_that_run_elsewhere_are_listed_with_their_executor(plan: Planner) -> None:
    ended = plan(plan.write("workflow.py", MIXED))
    said = "without a Job, on local: plot [node 8], Covalent's result [node 9]\n"
    assert f"# {said}" in ended.stdout
    assert said in ended.stderr


ON_BATCH = ("--set", "service_nodes=batch")


def test_covalents_own_nodes_are_named_as_such(plan: Planner) -> None:
    jobs = planned(plan, MIXED, *ON_BATCH).jobs
    assert {node["kind"] for job in jobs for node in job["nodes"]} == {"electron", "list"}
    ended = plan("workflow.py", *ON_BATCH)
    assert "# train [node 4], Covalent's list [node 5]\n" in ended.stdout


def test_covalents_own_nodes_have_no_job_where_the_server_runs_them(plan: Planner) -> None:
    ended = planned(plan, MIXED)
    assert {node["kind"] for job in ended.jobs for node in job["nodes"]} == {"electron"}
    assert "without a Job, on the server (service_nodes): Covalent's list [node 5]" in ended.stderr


def test_a_map_has_as_many_tasks_as_its_items_and_its_executor_allow(plan: Planner) -> None:
    text = f"""{HEAD}
from covalent_parallel_plugin import pmap

@pmap(executor=small)
def double(x):
    return 2 * x

@ct.electron(executor=small)
def numbers():
    return [1, 2]

@ct.lattice(executor=small)
def flow():
    return double(range(5)), double(range(100)), double(numbers())
"""
    jobs = planned(plan, text).jobs
    counts = {node["id"]: job["job"]["taskGroups"][0]["taskCount"] for job in jobs for node in job["nodes"]}
    assert sorted(counts.values()) == ["1", "16", "16", "5"]


def test_each_kind_of_covalents_nodes_is_recognised(plan: Planner) -> None:
    text = f"""{HEAD}
@ct.electron(executor=small)
def same(x):
    return x

@ct.lattice(executor=small)
def flow():
    x = same(1)
    x[0], x.real, x + 1, 2 * x, x ** 2, same([x]), same({{"a": x}})
    first, second = x
    return first
"""
    nodes = sorted((node["id"], node["kind"]) for job in planned(plan, text, *ON_BATCH).jobs for node in job["nodes"])
    kinds = [kind for _, kind in nodes]
    assert kinds[:4] == ["electron", "item", "attribute", "arithmetic"]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "electron": 3,
        "item": 3,
        "attribute": 1,
        "arithmetic": 3,
        # the dictionary's keys and values are lists of their own
        "list": 3,
        "dict": 1,
        "result": 1,
    }


def test_a_sublattice_is_one_node_and_its_electrons_are_not_planned(plan: Planner) -> None:
    plan.write("workflow.py", SUBLATTICE)
    ended = plan("workflow.py:outer", "--format", "json")
    nodes = [node for job in ended.jobs for node in job["nodes"]]
    assert {"id": 0, "name": "inner", "kind": "sublattice"} in nodes
    assert "inside" not in [node["name"] for node in nodes]
    assert "inner (sublattice) [node 0]: builds a graph of its own when it runs" in ended.stderr


def test_a_sublattice_that_builds_its_graph_elsewhere_may_have_jobs_all_the_same(plan: Planner) -> None:
    text = "import covalent as ct\n@ct.electron\n@ct.lattice\ndef inner():\n    pass\n"
    ended = planned(plan, f"{text}@ct.lattice\ndef flow():\n    return inner()\n")
    assert "inner (sublattice) [node 0]: builds a graph of its own when it runs" in ended.stderr


def test_a_sublattice_can_be_planned_by_itself(plan: Planner) -> None:
    plan.write("workflow.py", SUBLATTICE)
    jobs = plan("workflow.py:inner", "--arg", "x=1", "--format", "json").jobs
    assert machine(next(job for job in jobs if "inside" in names(job))) == "n2-standard-32"


def test_a_lattice_that_is_an_electron_as_well_can_be_planned_by_itself(plan: Planner) -> None:
    plan.write("workflow.py", DECORATED_TWICE)
    told = plan("workflow.py", "--arg", "x=1").stderr
    assert "plan it by itself to see its Jobs: covalent-parallel plan workflow.py:inner\n" in told
    jobs = plan("workflow.py:inner", "--arg", "x=1", "--format", "json").jobs
    assert machine(next(job for job in jobs if "inside" in names(job))) == "n2-standard-32"


HIDDEN_SUBLATTICE = """
import covalent as ct

@ct.lattice(executor="gcpbatch")
def outer(x):
    @ct.electron(executor="gcpbatch")
    @ct.lattice(executor="gcpbatch")
    def hidden(x):
        return x

    return hidden(x)
"""


def test_a_sublattice_inside_a_function_is_to_be_moved_before_it_is_planned(plan: Planner) -> None:
    plan.write("workflow.py", HIDDEN_SUBLATTICE)
    told = plan("workflow.py", "--arg", "x=1").stderr
    assert "plan it by itself to see its Jobs, once it stands at the top of the file" in told


def test_one_node_alone_is_a_bare_job(plan: Planner) -> None:
    ended = planned(plan, MIXED, "--node", "7")
    assert ended.job.labels["covalent-node"] == "7"
    assert ended.job.task_groups[0].task_spec.environment.variables["COVALENT_PARALLEL_FOLDER"].split("/")[2] == "7"


def test_a_node_without_a_job_is_answered_with_those_that_have_one(plan: Planner) -> None:
    ended = planned(plan, MIXED, "--node", "8")
    assert ended.status == 2
    assert "node 8 has no Job; there are: load [nodes 0, 2], train [node 4]" in ended.stderr


def test_set_goes_on_top_of_each_executors_options(plan: Planner) -> None:
    jobs = planned(plan, MIXED, "--set", "spot=true", "--set", "memory=2000").jobs
    for job in jobs:
        assert job["job"]["allocationPolicy"]["instances"][0]["policy"]["provisioningModel"] == "SPOT"
        assert job["job"]["taskGroups"][0]["taskSpec"]["computeResource"]["memoryMib"] == "2000"
    assert {machine(job) for job in jobs} == {"", "n2-standard-32"}


def test_an_empty_value_takes_an_executors_option_back_to_its_default(plan: Planner) -> None:
    jobs = planned(plan, MIXED, "--set", "machine_type=", "--set", "vcpus=", "--set", "memory=").jobs
    assert {machine(job) for job in jobs} == {""}
    assert {job["job"]["taskGroups"][0]["taskSpec"]["computeResource"]["cpuMilli"] for job in jobs} == {"2000"}


def test_tasks_are_those_of_electrons_and_not_of_covalents_own_nodes(plan: Planner) -> None:
    jobs = planned(plan, MIXED, "--tasks", "40", *ON_BATCH).jobs
    counts = {node["kind"]: job["job"]["taskGroups"][0]["taskCount"] for job in jobs for node in job["nodes"]}
    assert counts == {"electron": "40", "list": "1"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--arg", "sizes=[1, 2, 3]", "--arg", 'scale="big"'],
        ["--args", '[[1, 2, 3], "big"]'],
        ["--args", '{"sizes": [1, 2, 3], "scale": "big"}'],
        ["--args", "[[1, 2, 3]]", "--arg", 'scale="big"'],
    ],
)
def test_a_lattice_gets_its_arguments_in_each_form(plan: Planner, arguments: list[str]) -> None:
    found = [name for job in planned(plan, ARGUMENTS, *arguments).jobs for name in names(job)]
    assert found.count("work") == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "missing a required argument: 'sizes': give --arg sizes=... --arg scale=..., with values in JSON"),
        (["--arg", "sizes=[1]"], "missing a required argument: 'scale': give --arg scale=..., with"),
        (["--args", "[[1]]"], "missing a required argument: 'scale': give --arg scale=..., with"),
        (["--args", "[[1], 2, 3, 4]"], "the lattice shaped(sizes, scale, offset=0) cannot be called"),
        (["--args", "[[1], 2]", "--arg", "offest=3"], "it has no argument 'offest' (did you mean 'offset'?)"),
        (["--arg", "sizes=big"], "--arg sizes: 'big' is no JSON"),
    ],
)
def test_wrong_arguments_are_answered_with_what_is_missing(plan: Planner, arguments: list[str], said: str) -> None:
    ended = planned(plan, ARGUMENTS, *arguments)
    assert (ended.status, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_name_may_be_left_out_where_there_is_one_lattice(plan: Planner) -> None:
    assert planned(plan, MIXED).stdout == plan("workflow.py:mixed", "--format", "json").stdout


def test_several_lattices_are_listed(plan: Planner) -> None:
    ended = planned(plan, SUBLATTICE)
    assert (ended.status, ended.stdout) == (2, "")
    assert "has several lattices, name one: workflow.py:inner, workflow.py:outer" in ended.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("otuer", "'otuer' is no lattice of"),
        ("otuer", "(did you mean 'outer'?); there are: workflow.py:inner, workflow.py:outer"),
        ("inside", "'inside' is an electron, no lattice of"),
        ("zzzzzz", "; there are: workflow.py:inner, workflow.py:outer"),
    ],
)
def test_a_wrong_name_is_answered_with_the_names_there_are(plan: Planner, name: str, said: str) -> None:
    plan.write("workflow.py", SUBLATTICE)
    ended = plan(f"workflow.py:{name}")
    assert (ended.status, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_a_file_without_a_lattice_is_told_so(plan: Planner) -> None:
    ended = planned(plan, HEAD)
    assert ended.status == 2
    assert "has no lattice: decorate a function with @ct.lattice" in ended.stderr


@pytest.mark.parametrize("target", ["nowhere.py", "nowhere.py:flow", ".", ""])
def test_what_is_no_file_is_told_so(plan: Planner, target: str) -> None:
    ended = plan(target)
    assert ended.status == 2
    assert "is no file: give a Python file with a lattice" in ended.stderr


def test_a_file_that_is_no_text_is_told_so(plan: Planner) -> None:
    (plan.folder / "workflow.py").write_bytes(b"\xff\xfe")
    ended = plan("workflow.py")
    assert (ended.status, ended.stdout) == (2, "")
    assert "workflow.py could not be imported" in ended.stderr
    assert "SyntaxError" in ended.stderr


def test_an_error_of_the_file_comes_with_the_lines_of_the_file_and_no_others(plan: Planner) -> None:
    plan.write("helper.py", "def fail():\n    raise ValueError('no luck')\n")
    ended = planned(plan, "import helper\n\nhelper.fail()\n")
    assert (ended.status, ended.stdout) == (2, "")
    assert "workflow.py could not be imported" in ended.stderr
    assert 'workflow.py", line 3, in <module>' in ended.stderr
    assert 'helper.py", line 2, in fail' in ended.stderr
    assert ended.stderr.rstrip().endswith("ValueError: no luck")
    assert "covalent_parallel_plugin" not in ended.stderr
    assert "importlib" not in ended.stderr


def test_a_syntax_error_is_shown_where_it_is(plan: Planner) -> None:
    ended = planned(plan, "def f(:\n    pass\n")
    assert ended.status == 2
    assert 'workflow.py", line 1' in ended.stderr
    assert "SyntaxError" in ended.stderr
    assert "covalent_parallel_plugin" not in ended.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("memory=-1, vcpus=0", "memory = -1 is out of range"),
        ("memory=-1, vcpus=0", "vcpus = 0 is out of range"),
        ("vcpu=2", "no option 'vcpu' (did you mean 'vcpus'?)"),
    ],
)
def test_a_mistake_in_an_executor_is_shown_with_its_line(plan: Planner, options: str, said: str) -> None:
    ended = planned(plan, f"import covalent as ct\n\nmine = ct.executor.GCPBatchExecutor({options})\n")
    assert (ended.status, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert 'workflow.py", line 3, in <module>' in ended.stderr
    assert "gcpbatch.py" not in ended.stderr


def test_what_executors_lack_is_told_with_their_nodes(plan: Planner) -> None:
    plan.configure("")
    text = MIXED.replace('"bucket_name": "some-bucket"', '"bucket_name": ""')
    ended = planned(plan, text)
    assert (ended.status, ended.stdout) == (2, "")
    assert "load [nodes 0, 2], train [node 4]" in ended.stderr
    assert "bucket_name is missing" in ended.stderr
    assert "configured [node 6]: project_id is missing" in ended.stderr


def test_a_mistyped_argument_is_told_as_such(plan: Planner) -> None:
    text = f"{HEAD}\n@ct.lattice\ndef flow(rows, columns=1):\n    return rows\n"
    ended = planned(plan, text, "--arg", "rwos=1")
    assert ended.status == 2
    assert "it has no argument 'rwos' (did you mean 'rows'?)" in ended.stderr
    assert "missing" not in ended.stderr
    other = planned(plan, text, "--arg", "rows=1", "--arg", "zzz=1")
    assert "it has no argument 'zzz'\n" in other.stderr


def test_an_error_of_the_lattice_comes_with_its_line(plan: Planner) -> None:
    ended = planned(plan, f"{HEAD}\n@ct.lattice\ndef flow(x=0):\n    return 1 / x\n")
    assert (ended.status, ended.stdout) == (2, "")
    assert "the graph of flow could not be built" in ended.stderr
    assert 'workflow.py", line 10, in flow' in ended.stderr
    assert "ZeroDivisionError" in ended.stderr
    assert "lattice.py" not in ended.stderr.split("Traceback")[1]


@pytest.mark.parametrize("where", ["import", "lattice"])
def test_a_file_that_ends_the_program_is_told_so(plan: Planner, where: str) -> None:
    ends = "raise SystemExit(3)"
    text = ends if where == "import" else f"{HEAD}\n@ct.lattice\ndef flow():\n    {ends}\n"
    ended = planned(plan, text)
    assert (ended.status, ended.stdout) == (2, "")
    assert "it ended the program (SystemExit: 3)" in ended.stderr


@pytest.mark.parametrize("call", ["ct.dispatch(mixed)()", "mixed.dispatch_sync()"])
def test_a_file_that_dispatches_when_it_is_imported_dispatches_nothing(plan: Planner, call: str) -> None:
    ended = planned(plan, MIXED + call + "\n")
    assert (ended.status, ended.stdout) == (2, "")
    assert "`plan` dispatches nothing" in ended.stderr
    assert "if __name__ == '__main__':" in ended.stderr


def test_what_is_under_main_is_not_run_and_the_file_sees_itself_as_a_script_would(plan: Planner) -> None:
    plan.write("folder/neighbour.py", "size = 3\n")
    text = f"""
import sys
from neighbour import size
assert __name__ != "__main__"
assert sys.argv == [__file__]
{MIXED}
if __name__ == "__main__":
    raise RuntimeError("run as a script")
"""
    plan.write("folder/workflow.py", text)
    ended = plan("folder/workflow.py")
    assert ended.status == 0, ended.stderr
    assert not list((plan.folder / "folder").glob("__pycache__/workflow*"))


def test_what_a_file_and_its_processes_print_is_no_part_of_the_document(plan: Planner) -> None:
    text = MIXED + "\nimport os\nprint('printed')\nos.system('echo from a process')\n"
    ended = planned(plan, text.replace("    first, second", "    print('in the lattice')\n    first, second"))
    assert len(ended.jobs) == 2
    for said in ("printed", "from a process", "in the lattice"):
        assert said in ended.stderr


def test_electrons_are_not_run(plan: Planner) -> None:
    text = f"""{HEAD}
@ct.electron(executor=small)
def work():
    open("was-run", "w").close()

@ct.lattice
def flow():
    return work()
"""
    assert planned(plan, text).status == 0
    assert not (plan.folder / "was-run").exists()


def test_arguments_that_cannot_be_loaded_again_do_not_matter(plan: Planner) -> None:
    """What electrons are given is pickled by Covalent, and loaded by nobody here."""
    text = f"""{HEAD}
class Sealed:
    def __reduce__(self):
        return open, ("was-loaded", "w")

@ct.electron(executor=small)
def work(x):
    return x

@ct.lattice
def flow():
    return work(Sealed())
"""
    ended = planned(plan, text)
    assert ended.status == 0, ended.stderr
    assert not (plan.folder / "was-loaded").exists()


def test_what_a_script_could_not_dispatch_cannot_be_planned(plan: Planner) -> None:
    """Covalent pickles a script's functions with the globals that they use."""
    text = f"""{HEAD}
import threading
lock = threading.Lock()

def work():
    with lock:
        return 1

@ct.lattice
def flow():
    return ct.electron(work, executor=small)()
"""
    ended = planned(plan, text)
    assert (ended.status, ended.stdout) == (2, "")
    assert "lock" in ended.stderr.splitlines()[-1]


def test_names_of_several_lines_stay_in_their_comments(plan: Planner) -> None:
    text = f"""{HEAD}
def work():
    return 1
work.__name__ = "one\\nlabels: {{}}"

@ct.lattice
def flow():
    return ct.electron(work, executor=small)(), ct.electron(work, executor="other\\nlabels: {{}}")()
"""
    ended = plan(plan.write("workflow.py", text))
    assert ended.status == 0, ended.stderr
    assert ended.stdout.count("\nlabels:") == 1


def test_an_executor_that_is_not_installed_is_pointed_out(plan: Planner) -> None:
    ended = planned(plan, MIXED.replace('"gcpbatch"', '"gcpbtach"'))
    assert ended.status == 0
    assert "on gcpbtach, which is not installed here (did you mean 'gcpbatch'?): configured [node 6]" in ended.stderr


def test_a_workflow_without_batch_has_no_jobs(plan: Planner) -> None:
    text = "import covalent as ct\n@ct.electron\ndef f():\n    pass\n@ct.lattice\ndef flow():\n    return f()\n"
    ended = planned(plan, text)
    assert ended.jobs == []
    assert "No node goes to Batch." in ended.stderr


@pytest.mark.parametrize("call", ["ct.redispatch('0' * 36)()", "ct.cancel('0' * 36)", "ct.get_result('0' * 36)"])
def test_a_file_that_asks_covalents_server_for_anything_is_refused(plan: Planner, call: str) -> None:
    ended = planned(plan, MIXED + call + "\n")
    assert (ended.status, ended.stdout) == (2, "")
    assert "`plan` dispatches nothing" in ended.stderr


def test_a_thread_that_outlives_the_file_dispatches_nothing(plan: Planner) -> None:
    later = """
import threading

def dispatch():
    threading.main_thread().join()
    ct.dispatch(mixed)()

threading.Thread(target=dispatch).start()
"""
    ended = planned(plan, MIXED + later)
    assert "DispatchRefusedError" in ended.stderr


def test_a_password_in_the_requirements_is_not_in_the_summary(plan: Planner) -> None:
    plan.configure(
        '[executors.gcpbatch]\nproject_id = "my-project"\nbucket_name = "some-bucket"\n'
        'requirements = ["-i https://user:hunter2@host/simple", "six"]\n'
    )
    ended = plan()
    assert ended.status == 0, ended.stderr
    assert "pip      -i https://****@host/simple, six" in ended.stderr + ended.stdout
    assert "hunter2" not in ended.stderr + ended.stdout
