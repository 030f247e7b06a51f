# Each target sets itself up: it finds a Python 3.10 to 3.12 and makes .venv from it. Another one: make PYTHON=...
# Another place: make VENV=...
.DEFAULT_GOAL := help
VENV := .venv
RUN := $(VENV)/bin
# Which tests; none named are all
TESTS :=
# How many tests run at once: two for a processor, since most of their time is waiting, or, for a few tests, one
WORKERS = $(if $(PYTEST_ARGS),0,$$($(RUN)/python -c 'import os; print(min(8, 2 * (os.cpu_count() or 1)))'))
# A file's tests share what is dear to set up; the quick files, tests/unit, come last as they are. A worker that crashes
# ends the run: its files would be waited for without end
WORKER_OPTIONS := --dist loadfile --no-loadscope-reorder --max-worker-restart=0
# For newer packages, on any Python: an environment of its own, and the tests that these matter to
OTHER = .venv-$@$(addprefix -,$(notdir $(PYTHON)))
NEWEST_TESTS := tests/runner tests/contract tests/sweep tests/unit
IN_OTHER = $(MAKE) --no-print-directory VENV=$(OTHER) TESTS='$(if $(PYTEST_ARGS),,$(NEWEST_TESTS))'
# For packages that pip installs, and for what it builds them with: newer versions of pip know that by the second name.
# Relative, since pip splits these at spaces.
PINNED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt
# Of what pip prints while it installs: what is of megabytes, and what takes its time
LISTED := /^(Downloading|Using cached) .*[MG]B\)/ || /^(Building wheels|Installing collected)/
PYTHONS := $(or $(PYTHON),python3.12 python3.11 python3.10 python3 python)
FITTING := import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))

# $(call new-venv,FOLDER), in a shell
define new-venv
set -e; chosen=; \
for candidate in $(PYTHONS); do \
    if "$$candidate" -c '$(FITTING)' >/dev/null 2>&1; then chosen=$$candidate; break; fi; \
done; \
if [ -z "$$chosen" ]; then \
    echo "No Python 3.10, 3.11 or 3.12 with the venv module was found (tried: $(PYTHONS))." >&2; \
    echo "Install one (on Debian also its python3-venv package) or name it: make PYTHON=/path/to/python3.11" >&2; \
    exit 1; \
fi; \
echo "Setting up $(1) with $$($$chosen --version)"; \
"$$chosen" -m venv --clear $(1)
endef

.PHONY: help demo docs test test-newest test-containers lint lock report-picture benchmark clean

help:
	@echo "make demo       a workflow as Batch jobs on this machine, start to score"
	@echo "make docs       check the documentation, and build its site in site/"
	@echo "make test       all tests; PYTEST_ARGS=... goes to pytest, WORKERS=... says how many at once"
	@echo "make test-containers  tests in real containers; CONTAINER_ENGINE=docker for another engine than podman"
	@echo "make test-newest  tests with the newest packages that setup.cfg allows; PYTHON=... for another Python"
	@echo "make lint       ruff, mypy and deptry"
	@echo "make lock       renew constraints.txt, the versions that all of this installs"
	@echo "make report-picture  the picture of a report that README shows"
	@echo "make benchmark  this plugin beside the one it replaces"
	@echo "make clean      remove what these commands made"

demo: $(VENV)/installed
	@$(RUN)/covalent-parallel demo $(DEMO_ARGS)

# Nothing is fetched: what a page takes from elsewhere, and what is behind the code, is an error as a broken link is
docs: $(VENV)/installed
	$(RUN)/python -m docs_build --check
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict
	$(RUN)/python -m docs_build --site site
	@echo "Open site/index.html; for the search as well: $(RUN)/python -m http.server -b 127.0.0.1 -d site"

test: $(VENV)/installed
	$(RUN)/python -m pytest -n $(WORKERS) $(WORKER_OPTIONS) $(TESTS) $(PYTEST_ARGS)

# Set up anew each time, since what is newest changes; with a line that says what that is
test-newest:
	@rm -f $(OTHER)/installed
	@$(IN_OTHER) PINNED= $(OTHER)/installed
	@$(OTHER)/bin/python -m pip freeze --exclude-editable | paste -sd' ' -
	$(IN_OTHER) test

test-containers: $(VENV)/installed
	$(RUN)/python -m pytest -m containers tests/containers $(PYTEST_ARGS)

lint: $(VENV)/installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/python -c 'from importlib.metadata import requires; print(*requires("covalent-parallel-plugin"), sep="\n")' \
	    | grep -v -e '"dev"' -e '"docs"' -e '^covalent-parallel-plugin' >$(VENV)/requirements.txt
	$(RUN)/deptry --requirements-files $(VENV)/requirements.txt covalent_parallel_plugin

# For all Pythons and platforms at once
lock:
	@$(call new-venv,.venv-lock); \
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.10 --extra dev --group build \
	    --no-emit-index-url --custom-compile-command 'make lock' --output-file constraints.txt setup.cfg

# Runs the demo; needs Chromium
report-picture: $(VENV)/installed
	$(RUN)/python -m docs_build.report_picture

benchmark: $(VENV)/installed
	$(RUN)/python -m benchmarks $(BENCHMARK_ARGS)

# The marker is written last, so that an interrupted installation is done again from the start.
$(VENV)/installed: setup.cfg pyproject.toml constraints.txt
	@$(call new-venv,$(VENV)); \
	echo "Installing this package and some 180 others, which takes a minute or two:"; \
	{ $(PINNED) $(RUN)/python -m pip install --disable-pip-version-check --editable '.[dev]' && touch $@; } \
	    | awk '$(LISTED) { print substr($$0, 1, 100); fflush() }'; \
	test -e $@ && echo "Installed $$(ls -d $(VENV)/lib/python*/site-packages/*.dist-info | wc -l) packages"

clean:
	rm -rf $(VENV) .venv-* build dist site *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
