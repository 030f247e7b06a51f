"""cloud/logging.py through Google's client."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest

from covalent_parallel_plugin.cloud.logging import BACK_OFF_SECONDS, LogEntry, LogReader, connect
from covalent_parallel_plugin.cloud.rate_limiter import RateLimiter
from covalent_parallel_plugin.emulator.logging.server import LoggingServer
from covalent_parallel_plugin.emulator.model.log_store import LogStore
from covalent_parallel_plugin.errors import UnavailableError
from covalent_parallel_plugin.results.running_jobs import NO_READS, log_refusal


@pytest.fixture
def logs() -> LogStore:
    return LogStore()


@pytest.fixture
def address(logs: LogStore) -> Iterator[str]:
    with LoggingServer(logs) as server:
        yield server.address


@pytest.fixture
def reader(address: str) -> Iterator[LogReader]:
    with connect(address) as client:
        yield LogReader("local", client)


def write(logs: LogStore, text: str, job: str = "job-1", **fields: Any) -> None:
    entry = {
        "project": "local",
        "log": "batch_task_logs",
        "labels": {"job_uid": job, "task_id": f"{job}-group0-0"},
        "severity": "INFO",
    }
    logs.write(**entry | fields, text=text)


def test_the_last_lines_of_a_job_come_oldest_first(logs: LogStore, reader: LogReader) -> None:
    for number in range(30):
        write(logs, f"line {number}")
    assert reader.last_lines("job-1", count=3) == ["line 27", "line 28", "line 29"]


def test_lines_of_other_jobs_and_logs_do_not_come(logs: LogStore, reader: LogReader) -> None:
    write(logs, "ours")
    write(logs, "another job's", job="job-2")
    write(logs, "the agent's", log="batch_agent_logs")
    assert reader.last_lines("job-1") == ["ours"]


def test_lines_of_both_severities_come(logs: LogStore, reader: LogReader) -> None:
    write(logs, "out")
    write(logs, "err", severity="ERROR")
    assert reader.last_lines("job-1") == ["out", "err"]


def test_a_job_without_lines_has_none(reader: LogReader) -> None:
    assert reader.last_lines("job-1") == []


def test_a_service_that_is_not_there_is_unavailable() -> None:
    with connect("127.0.0.1:1") as client, pytest.raises(UnavailableError, match="logs of the job job-1"):
        LogReader("local", client).last_lines("job-1")


def test_past_its_limit_it_reads_nothing_and_asks_nothing(logs: LogStore, address: str) -> None:
    write(logs, "a line")
    with connect(address) as client:
        reader = LogReader("local", client, RateLimiter(2, 60.0))
        assert [reader.last_lines("job-1") for _ in range(3)] == [["a line"], ["a line"], []]


def test_a_service_that_says_it_was_too_much_is_left_alone_for_a_while(logs: LogStore) -> None:
    write(logs, "a line")
    now = 0.0
    limiter = RateLimiter(1000, 60.0, lambda: now)
    with LoggingServer(logs, reads_per_minute=1) as server, connect(server.address) as client:
        reader = LogReader("local", client, limiter)
        assert reader.last_lines("job-1") == ["a line"]
        with pytest.raises(UnavailableError):
            reader.last_lines("job-1")
        assert reader.last_lines("job-1") == [], "no error: nothing was asked"
        now = BACK_OFF_SECONDS
        with pytest.raises(UnavailableError):
            reader.last_lines("job-1")


def test_entries_have_their_time_and_stream(logs: LogStore, reader: LogReader) -> None:
    when = datetime(2026, 1, 31, 9, 30, tzinfo=timezone.utc)
    write(logs, "out", timestamp=when)
    write(logs, "err", severity="ERROR", timestamp=when)
    assert reader.last_entries("job-1", 9) == [
        LogEntry("out", when.timestamp(), is_stderr=False), LogEntry("err", when.timestamp(), is_stderr=True)
    ]  # fmt: skip


def test_readings_that_are_used_up_are_told_with_what_else_can_be_done(logs: LogStore) -> None:
    with LoggingServer(logs, reads_per_minute=1) as server, connect(server.address) as client:
        reader = LogReader("local", client)
        reader.last_lines("job-1")
        with pytest.raises(UnavailableError) as refused:
            reader.last_lines("job-1")
    assert log_refusal(refused.value) == NO_READS
