"""Covalent's UI in a real browser: the dispatch, its electrons and the executor's attributes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import covalent_parallel_plugin
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from docs_build.browser import Page

pytestmark = pytest.mark.browser

PACKAGE = Path(covalent_parallel_plugin.__file__).parent
# The demonstration's source up to where it dispatches itself, so that the picture shows what README shows.
WORKFLOW = (PACKAGE / "cli" / "demo" / "workflow.py").read_text().partition("if __name__")[
    0
] + "workflows['iris_svm'] = iris_svm, (), float\n"


def test_the_ui_shows_the_dispatch_completed_and_its_executors_attributes(
    browser_page: Page, run_workflows: Callable[[str], Mapping[str, Any]], covalent_server: PrivateCovalentServer
) -> None:
    page = browser_page
    dispatch = run_workflows(WORKFLOW)["iris_svm"]
    assert dispatch.status == "COMPLETED", dispatch
    page.command("Page.navigate", url=f"{covalent_server.address}/{dispatch.dispatch_id}")
    # Before a node is chosen the only status on the page is the dispatch's.
    page.await_text("Completed", "Load Data", "Train Svm", "Score Svm")
    page.click(".react-flow__node", "Train Svm")
    # The drawer cuts the attributes off after some 200 characters.
    page.await_text("Executor: gcpbatch", "time_limit: 300", "retries: 3", "bucket_name: covalent")
    if path := os.environ.get("SAVE_SCREENSHOT"):
        page.move_mouse(700, 450)
        time.sleep(1)  # until the drawer has slid in and the node's tooltip is gone
        page.screenshot(Path(path))
