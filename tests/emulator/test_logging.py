"""The Cloud Logging emulator, through Google's client."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.logging_v2 import types
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

from covalent_parallel_plugin.emulator.filters.filter_language import FilterError
from covalent_parallel_plugin.emulator.logging.entry_filter import parse_entry_filter
from covalent_parallel_plugin.emulator.logging.server import LoggingServer
from covalent_parallel_plugin.emulator.model.log_store import LogStore

NOON = datetime(2026, 1, 2, 12, tzinfo=timezone.utc)
BATCH_LOG = "projects/p/logs/batch_task_logs"


@pytest.fixture()
def store() -> LogStore:
    return LogStore()


@pytest.fixture()
def server(store: LogStore) -> Iterator[LoggingServer]:
    with LoggingServer(store) as running:
        yield running


def client_of(server: LoggingServer) -> LoggingServiceV2Client:
    channel = grpc.insecure_channel(server.address)
    return LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))


@pytest.fixture()
def client(server: LoggingServer) -> Iterator[LoggingServiceV2Client]:
    with client_of(server) as made:
        yield made


def write(
    store: LogStore, text: str, *, task: int = 0, severity: str = "INFO", minute: int = 0, project: str = "p"
) -> None:
    store.write(
        project=project,
        log="batch_task_logs",
        labels={"job_uid": "job-1", "task_id": f"job-1-group0-{task}"},
        severity=severity,
        text=text,
        timestamp=NOON + timedelta(minutes=minute),
    )


def texts(client: LoggingServiceV2Client, **request: object) -> list[str]:
    asked = types.ListLogEntriesRequest({"resource_names": ["projects/p"], **request})
    return [entry.text_payload for entry in client.list_log_entries(asked)]


def test_a_task_s_lines_come_back_with_labels_severity_and_time(
    store: LogStore, client: LoggingServiceV2Client
) -> None:
    write(store, "to stderr", task=3, severity="ERROR")
    (entry,) = client.list_log_entries(resource_names=["projects/p"], filter=f'logName="{BATCH_LOG}"')
    assert (entry.log_name, entry.text_payload, entry.severity) == (BATCH_LOG, "to stderr", 500)
    assert entry.labels == {"job_uid": "job-1", "task_id": "job-1-group0-3"}
    assert entry.resource.type == "batch.googleapis.com/Job"
    assert entry.timestamp == NOON


def test_lines_of_one_instant_keep_their_order_both_ways(store: LogStore, client: LoggingServiceV2Client) -> None:
    lines = [f"line {i}" for i in range(120)]
    for line in lines:
        write(store, line)
    assert texts(client, order_by="timestamp asc", page_size=7) == lines
    assert texts(client, order_by="timestamp desc", page_size=50) == lines[::-1]


def test_entries_are_ordered_by_time_not_by_arrival(store: LogStore, client: LoggingServiceV2Client) -> None:
    for minute in (2, 0, 1):
        write(store, str(minute), minute=minute)
    assert texts(client) == ["0", "1", "2"]


def test_a_page_holds_as_many_entries_as_asked_for(store: LogStore, client: LoggingServiceV2Client) -> None:
    for i in range(5):
        write(store, str(i))
    pages = client.list_log_entries({"resource_names": ["projects/p"], "page_size": 2}).pages
    assert [len(page.entries) for page in pages] == [2, 2, 1]


def test_large_entries_fit_the_client_s_message_limit(store: LogStore, client: LoggingServiceV2Client) -> None:
    for i in range(30):
        write(store, f"{i:03}" + "x" * 250_000)
    assert [text[:3] for text in texts(client, page_size=1000)] == [f"{i:03}" for i in range(30)]


def test_entries_that_arrive_while_paging_do_not_disturb_the_pages(
    store: LogStore, client: LoggingServiceV2Client
) -> None:
    for i in range(4):
        write(store, str(i), minute=1)
    seen = []
    for page in client.list_log_entries({"resource_names": ["projects/p"], "page_size": 2}).pages:
        seen += [entry.text_payload for entry in page.entries]
        if len(seen) == 2:
            write(store, "earlier", minute=0)
            write(store, "later", minute=2)
    assert seen == ["0", "1", "2", "3", "later"]


def test_only_the_asked_project_s_entries_are_listed(store: LogStore, client: LoggingServiceV2Client) -> None:
    write(store, "ours")
    write(store, "theirs", project="q")
    assert texts(client) == ["ours"]
    assert sorted(texts(client, resource_names=["projects/p", "projects/q"])) == ["ours", "theirs"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abcd"),
        ('labels.task_id="job-1-group0-1"', "b"),
        ('labels."task_id"="JOB-1-group0-1"', "b"),
        ("labels.job_uid=job-1 severity>=WARNING", "cd"),
        ('labels.job_uid="job-1" AND severity=INFO', "ab"),
        ("severity>ERROR", ""),
        ("severity!=ERROR", "abc"),
        ("severity<WARNING", "ab"),
        ("severity=(WARNING OR ERROR)", "cd"),
        ("severity>=200 AND severity<=400", "abc"),
        ('timestamp>="2026-01-02T12:02:00Z"', "cd"),
        ('timestamp>="2026-01-02T13:02:00+01:00" AND timestamp<"2026-01-02T12:03:00.000000001Z"', "cd"),
        ('timestamp<="2026-01-02"', ""),
        ("textPayload:C", "c"),
        ("textPayload=c", "c"),
        ("NOT textPayload=c", "abd"),
        ("-textPayload=c", "abd"),
        ("textPayload=a OR textPayload=b AND severity=INFO", "ab"),
        # OR binds stronger than AND.
        ("severity=ERROR AND textPayload=a OR textPayload=d", "d"),
        ("(severity=ERROR AND textPayload=a) OR textPayload=d", "d"),
        ("(severity=ERROR AND textPayload=d) OR textPayload=a", "ad"),
        ("NOT (textPayload=a OR textPayload=b)", "cd"),
        ("resource.type=batch.googleapis.com/Job", "abcd"),
        ("labels.task_id:group0-2 -- a comment", "c"),
        ("labels.job_uid:*", "abcd"),
        ("labels.absent:*", ""),
        ('labels.absent="x"', ""),
        ("NOT labels.absent=x", "abcd"),
        ('logName="projects/p/logs/other"', ""),
    ],
)
def test_a_filter_selects_what_it_says(
    store: LogStore, client: LoggingServiceV2Client, query: str, expected: str
) -> None:
    for i, (text, severity) in enumerate(zip("abcd", ["INFO", "INFO", "WARNING", "ERROR"], strict=True)):
        write(store, text, task=i, severity=severity, minute=i)
    assert "".join(texts(client, filter=query)) == expected


def test_a_quoted_value_may_hold_quotes_and_backslashes(store: LogStore, client: LoggingServiceV2Client) -> None:
    write(store, 'say "hi" \\ AND go')
    assert texts(client, filter=r'textPayload="say \"hi\" \\ AND go"') == ['say "hi" \\ AND go']


@pytest.mark.parametrize(
    "query",
    [
        '"free text"',
        "word",
        "jsonPayload.x=1",
        "labels=x",
        "textPayload=~x",
        "severity=LOUD",
        "timestamp>yesterday",
        "timestamp:2026-01-01",
        "insertId=abc:def",
        "severity=INFO and textPayload=x",
        "severity=INFO AND",
        "severity=INFO OR OR severity=INFO",
        "(severity=INFO",
        "severity=INFO)",
        "severity=(INFO OR ERROR AND DEBUG)",
        "severity",
        "severity=",
        'textPayload="open',
        "NOT " * 1000 + "severity=INFO",
        "textPayload=" + "x" * 20_000,
        "a && b",
    ],
)
def test_a_filter_that_is_not_understood_is_refused(client: LoggingServiceV2Client, query: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="Unparseable filter"):
        texts(client, filter=query)


def test_a_filter_error_names_the_place() -> None:
    with pytest.raises(FilterError, match="at character 14"):
        parse_entry_filter("severity=INFO )")


@pytest.mark.parametrize(
    "request_fields",
    [
        {"order_by": "severity"},
        {"resource_names": []},
        {"resource_names": ["folders/1"]},
        {"page_size": -1},
        {"page_token": "made up"},
    ],
)
def test_a_wrong_request_is_refused(client: LoggingServiceV2Client, request_fields: dict[str, object]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        texts(client, **request_fields)


def test_a_page_token_does_not_go_with_another_filter(store: LogStore, client: LoggingServiceV2Client) -> None:
    write(store, "a")
    write(store, "b")
    first = next(iter(client.list_log_entries({"resource_names": ["projects/p"], "page_size": 1}).pages))
    with pytest.raises(exceptions.InvalidArgument, match="another filter"):
        texts(client, filter="severity=INFO", page_token=first.next_page_token)


def test_written_entries_take_over_the_request_s_common_fields(client: LoggingServiceV2Client) -> None:
    client.write_log_entries(
        log_name="projects/p/logs/some%2Flog",
        resource={"type": "global", "labels": {"project_id": "p"}},
        labels={"common": "1", "both": "request"},
        entries=[
            types.LogEntry(text_payload="plain", labels={"both": "entry"}, severity="NOTICE"),
            types.LogEntry(json_payload={"n": 1.0}, log_name=BATCH_LOG, resource={"type": "gce_instance"}),
        ],
    )
    plain, structured = client.list_log_entries(resource_names=["projects/p"])
    assert (plain.log_name, plain.text_payload, plain.severity) == ("projects/p/logs/some%2Flog", "plain", 300)
    assert plain.labels == {"common": "1", "both": "entry"}
    assert plain.resource.type == "global"
    assert (structured.log_name, structured.json_payload) == (BATCH_LOG, {"n": 1.0})
    assert structured.resource.type == "gce_instance"


def test_an_entry_written_twice_is_listed_once(client: LoggingServiceV2Client) -> None:
    entry = types.LogEntry(text_payload="once", insert_id="i", timestamp=NOON, log_name=BATCH_LOG)
    for _ in range(2):
        client.write_log_entries(entries=[entry], resource={"type": "global"})
    assert texts(client) == ["once"]


@pytest.mark.parametrize(
    "entry",
    [
        types.LogEntry(text_payload="no log name", resource={"type": "global"}),
        types.LogEntry(text_payload="bad log name", log_name="batch", resource={"type": "global"}),
        types.LogEntry(text_payload="no resource", log_name=BATCH_LOG),
    ],
)
def test_an_incomplete_entry_is_refused_with_all_others_of_its_request(
    client: LoggingServiceV2Client, entry: types.LogEntry
) -> None:
    good = types.LogEntry(text_payload="good", log_name=BATCH_LOG, resource={"type": "global"})
    with pytest.raises(exceptions.InvalidArgument):
        client.write_log_entries(entries=[good, entry])
    assert texts(client) == []


def test_logs_are_listed_and_deleted(store: LogStore, client: LoggingServiceV2Client) -> None:
    for log in ("one", "two", "three/x"):
        store.write(project="p", log=log, labels={}, severity="INFO", text=log)
    names = [f"projects/p/logs/{log}" for log in ("one", "three%2Fx", "two")]
    assert list(client.list_logs(request={"parent": "projects/p", "page_size": 2})) == names
    client.delete_log(log_name=names[1])
    assert sorted(texts(client)) == ["one", "two"]
    with pytest.raises(exceptions.NotFound):
        client.delete_log(log_name=names[1])


def test_reads_past_the_limit_are_refused_until_a_minute_has_passed(store: LogStore) -> None:
    now = [0.0]
    with (
        LoggingServer(store, reads_per_minute=2, clock=lambda: now[0]) as server,
        client_of(server) as client,
    ):
        texts(client)
        texts(client)
        with pytest.raises(exceptions.ResourceExhausted, match="Read requests per minute"):
            texts(client)
        texts(client, resource_names=["projects/another"])
        now[0] = 60.0
        assert texts(client) == []


def test_the_store_keeps_the_newest_entries_and_counts_the_dropped() -> None:
    store = LogStore(max_entries=3)
    for i in range(10):
        write(store, str(i))
    assert [record.text for record in store.records()] == ["7", "8", "9"]
    assert store.dropped == 7


def test_the_store_is_bounded_in_bytes_too() -> None:
    store = LogStore(max_bytes=2500)
    for i in range(5):
        write(store, str(i) * 1000)
    assert [record.text[0] for record in store.records()] == ["3", "4"]


def test_an_unknown_severity_is_refused(store: LogStore) -> None:
    with pytest.raises(ValueError, match="LOUD"):
        write(store, "x", severity="LOUD")


def test_concurrent_writers_and_readers_lose_nothing(store: LogStore, client: LoggingServiceV2Client) -> None:
    def work(task: int) -> int:
        for i in range(50):
            write(store, str(i), task=task)
        return len(texts(client, filter=f"labels.task_id=job-1-group0-{task}", page_size=1000))

    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(work, range(16))) == [50] * 16


def test_a_taken_port_is_an_error_that_names_it(server: LoggingServer, store: LogStore) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(OSError, match=f"cannot listen on port {port}"):
        LoggingServer(store, port=port).start()


def test_a_stopped_server_can_be_started_again_on_its_port(store: LogStore) -> None:
    server = LoggingServer(store)
    for _ in range(2):
        write(store, "x")
        with server, client_of(server) as client:
            assert texts(client)
