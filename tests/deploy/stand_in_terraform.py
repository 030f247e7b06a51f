"""A stand-in for the program `terraform`: the same commands, JSON and exit statuses for files of a few simple forms.

It knows `resource "T" "N"` with `input = var.V` and `count = var.V ? 1 : 0`, and outputs that are `var.V`,
`var.V ? "text" : null` or `T.N.output`. Variables of its environment make it misbehave:

STAND_IN_VERSION    the version it says it has
STAND_IN_FAILS      the command that fails, with
STAND_IN_ERRORS     on its standard error; an `apply` fails after its first resource
STAND_IN_WAITS      a file that `apply` makes after its first resource, to wait there for SIGINT; if none comes it
                    makes one with `.finished` to its name
STAND_IN_CALLS      a file that takes a line for each call: its arguments and environment in JSON
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

STATE = Path("terraform.tfstate")
WAIT_SECONDS = 60.0


def main(arguments: list[str]) -> int:
    if "STAND_IN_CALLS" in os.environ:
        with open(os.environ["STAND_IN_CALLS"], "a") as file:
            file.write(json.dumps({"arguments": arguments, "environment": dict(os.environ)}) + "\n")
    command, *rest = arguments
    if os.environ.get("STAND_IN_FAILS") == command and command != "apply":
        print(os.environ.get("STAND_IN_ERRORS", "Error: told to fail"), file=sys.stderr)
        return 1
    doing = {"version": version, "--version": version, "init": init, "plan": plan, "show": show, "apply": apply,
             "destroy": destroy, "output": output, "state": state_list}  # fmt: skip
    return doing[command](rest)


def version(rest: list[str]) -> int:
    number = os.environ.get("STAND_IN_VERSION", "1.9.8")
    print(json.dumps({"terraform_version": number}) if "-json" in rest else f"Terraform v{number}\non linux_amd64")
    return 0


def init(rest: list[str]) -> int:
    Path(".terraform").mkdir(exist_ok=True)
    print("Terraform has been successfully initialized!")
    return 0


def plan(rest: list[str]) -> int:
    options = dict(word.lstrip("-").split("=", 1) for word in rest if "=" in word)
    file = options.get("out") or rest[rest.index("-out") + 1]
    wanted = {"resources": {}, "outputs": {}} if "-destroy" in rest else desired(values(options.get("var-file")))
    Path(file).write_text(json.dumps(wanted))
    done = actions(wanted)
    for address, what in done.items():
        print(f"  # {address} will be {'replaced' if len(what) > 1 else what[0] + 'd'}")
    has_changes = bool(done) or wanted["outputs"] != state()["outputs"]
    print("Plan made." if has_changes else "No changes.")
    return 2 if has_changes and "-detailed-exitcode" in rest else 0


def show(rest: list[str]) -> int:
    wanted = json.loads(Path(rest[-1]).read_text())
    before = state()["outputs"]
    names = {*wanted["outputs"], *before}
    changes = [{"address": address, "change": {"actions": what}} for address, what in actions(wanted).items()]
    outputs = {name: {"before": before.get(name), "after": wanted["outputs"].get(name)} for name in names}
    print(json.dumps({"format_version": "1.2", "resource_changes": changes, "output_changes": outputs}))
    return 0


def apply(rest: list[str]) -> int:
    wanted = json.loads(Path(rest[-1]).read_text())
    now = state()
    now["resources"] = {
        address: now["resources"][address] for address in now["resources"] if address in wanted["resources"]
    }
    told: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    for address, given in wanted["resources"].items():
        now["resources"][address] = given
        save(now)
        print(f"{address}: Creation complete")
        if os.environ.get("STAND_IN_FAILS") == "apply":
            print(os.environ.get("STAND_IN_ERRORS", "Error: told to fail"), file=sys.stderr)
            return 1
        if "STAND_IN_WAITS" in os.environ:
            Path(os.environ["STAND_IN_WAITS"]).touch()
            until = time.monotonic() + WAIT_SECONDS
            while not told and time.monotonic() < until:
                time.sleep(0.02)
            if not told:
                Path(os.environ["STAND_IN_WAITS"] + ".finished").touch()
            print("Error: execution halted", file=sys.stderr)
            return 1
    save(wanted)
    print("Apply complete!")
    if Path("covalent.tf").exists():
        chosen = {name: value for name, value in values(None).items() if name in ("project_id", "region")}
        lines = [f"{name} = {value}" for name, value in {**chosen, "bucket_name": "made-by-terraform"}.items()]
        Path("gcpbatch.conf").write_text("\n".join(["[gcpbatch]", *lines, "external_ip = False", ""]))
    return 0


def destroy(rest: list[str]) -> int:
    save({"resources": {}, "outputs": {}})
    print("Destroy complete!")
    return 0


def output(rest: list[str]) -> int:
    print(json.dumps({name: {"sensitive": False, "value": value} for name, value in state()["outputs"].items()}))
    return 0


def state_list(rest: list[str]) -> int:
    if not STATE.exists():
        print("No state file was found!", file=sys.stderr)
        return 1
    print("\n".join(state()["resources"]))
    return 0


def state() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(STATE.read_text()) if STATE.exists() else {"resources": {}, "outputs": {}}
    return loaded


def save(new: dict[str, Any]) -> None:
    STATE.write_text(json.dumps(new))


def actions(wanted: dict[str, Any]) -> dict[str, list[str]]:
    before, after = state()["resources"], wanted["resources"]
    done = {address: ["delete"] for address in before if address not in after}
    done |= {address: ["create"] for address in after if address not in before}
    return done | {
        address: ["delete", "create"] for address in after if address in before and before[address] != after[address]
    }


def values(variables_file: str | None) -> dict[str, Any]:
    """Variables: the defaults in the files, what a terraform.tfvars says, and a file of values in JSON."""
    text = "\n".join(path.read_text() for path in sorted(Path.cwd().glob("*.tf")))
    defaults = re.findall(r'variable "(\w+)" \{.*?\n  default *= (\S+)\n', text, re.DOTALL)
    found = {name: json.loads(value) for name, value in defaults if value[0] not in "[{"}
    plain = Path("terraform.tfvars")
    for line in plain.read_text().splitlines() if plain.exists() else ():
        name, _, value = line.partition("=")
        found[name.strip()] = value.strip().strip('"')
    if variables_file:
        found |= json.loads(Path(variables_file).read_text())
    return found


def desired(chosen: dict[str, Any]) -> dict[str, Any]:
    text = "\n".join(path.read_text() for path in sorted(Path.cwd().glob("*.tf")))
    resources: dict[str, Any] = {}
    found = re.findall(r'(?m)^resource "(\w+)" "(\w+)" \{\n(.*?)^\}', text, re.DOTALL)
    for kind, name, body in sorted(found, key=lambda each: "depends_on" in each[2]):
        counted = re.search(r"count *= var\.(\w+) \? 1 : 0", body)
        given = re.search(r"\binput *= var\.(\w+)", body)
        if counted is None or chosen[counted[1]] is True:
            resources[f"{kind}.{name}{'[0]' if counted else ''}"] = chosen[given[1]] if given else None
    outputs = {}
    for name, expression in re.findall(r'(?m)^output "(\w+)" \{.*?value *= (.*?)$', text, re.DOTALL | re.MULTILINE):
        if match := re.fullmatch(r"var\.(\w+)", expression):
            outputs[name] = chosen[match[1]]
        elif match := re.fullmatch(r'var\.(\w+) \? (".*?"|false|true) : null', expression):
            outputs[name] = json.loads(match[2]) if chosen[match[1]] is True else None
        elif match := re.fullmatch(r"(\w+\.\w+)\.output", expression):
            outputs[name] = resources[match[1]]
    return {"resources": resources, "outputs": {name: value for name, value in outputs.items() if value is not None}}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
