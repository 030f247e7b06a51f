"""The registry's client against a registry."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from pathlib import Path

import pytest
import requests
from registry_server import AMD64, IMAGE, Registry

from covalent_parallel_plugin.cloud.registry.client import read_image_config
from covalent_parallel_plugin.cloud.registry.image_config import ImageConfig
from covalent_parallel_plugin.cloud.registry.image_reference import parse_reference
from covalent_parallel_plugin.cloud.registry.responses import RegistryResponse, error_for, new_session
from covalent_parallel_plugin.errors import (
    CloudError,
    MissingResourceError,
    PermissionDeniedError,
    UnavailableError,
)

CONFIG = {
    **AMD64,
    "config": {
        "User": "1000",
        "Env": ["PATH=/bin", "A=b=c", "EMPTY="],
        "Labels": {"l": "v"},
        "Entrypoint": ["python3"],
    },
}


def test_an_images_configuration_is_read(registry: Registry) -> None:
    digest = registry.put("a/b", "t", CONFIG)
    uri = f"{registry.host}/a/b:t"
    assert read_image_config(uri) == ImageConfig(
        uri=uri,
        digest=digest,
        os="linux",
        architecture="amd64",
        user="1000",
        labels={"l": "v"},
        env={"PATH": "/bin", "A": "b=c", "EMPTY": ""},
        entrypoint=("python3",),
        size_bytes=2000,
    )


def test_an_image_is_found_by_digest(registry: Registry) -> None:
    digest = registry.put("a", "t", CONFIG)
    assert read_image_config(f"{registry.host}/a@{digest}").digest == digest


@pytest.mark.parametrize(("user", "is_root"), [("", True), ("0:0", True), ("root", True), ("10001:10001", False)])
def test_the_user_is_told(registry: Registry, user: str, is_root: bool) -> None:
    registry.put("a", "t", {**AMD64, "config": {"User": user}})
    assert read_image_config(f"{registry.host}/a:t").is_root is is_root


def test_of_several_platforms_batchs_is_read(registry: Registry) -> None:
    arm = registry.put("a", "arm", {"os": "linux", "architecture": "arm64"})
    amd = registry.put("a", "amd", CONFIG)
    unknown = {"os": "unknown", "architecture": "unknown"}
    registry.put_index("a", "t", [(arm, unknown), (arm, {"os": "linux", "architecture": "arm64"}), (amd, AMD64)])
    found = read_image_config(f"{registry.host}/a:t")
    assert (found.architecture, found.digest) == ("amd64", amd)


def test_without_batchs_platform_the_first_one_tells_its_own(registry: Registry) -> None:
    arm = registry.put("a", "arm", {"os": "linux", "architecture": "arm64"})
    registry.put_index("a", "t", [(arm, {"os": "linux", "architecture": "arm64"})])
    assert read_image_config(f"{registry.host}/a:t").architecture == "arm64"


def test_a_token_that_anybody_gets_is_fetched_once(registry: Registry) -> None:
    registry.put("a/b", "t", CONFIG)
    registry.token = "secret"
    assert read_image_config(f"{registry.host}/a/b:t").architecture == "amd64"
    tokens = [path for path in registry.asked if path.startswith("/token")]
    assert tokens == ["/token?service=the+registry&scope=repository%3Aa%2Fb%3Apull"]
    assert registry.authorizations == ["", "", "Bearer secret", "Bearer secret"]


def test_a_private_image_is_a_missing_permission_with_the_way_around(registry: Registry) -> None:
    registry.put("a", "t", CONFIG)
    registry.token, registry.keeps_tokens = "secret", True
    with pytest.raises(PermissionDeniedError, match=r"authentication required.*docker pull"):
        read_image_config(f"{registry.host}/a:t")


def test_a_missing_image_is_named_with_the_command_that_makes_it(registry: Registry) -> None:
    with pytest.raises(MissingResourceError, match=rf"{registry.host}/a:t \(manifest unknown\).*image build --push"):
        read_image_config(f"{registry.host}/a:t")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, PermissionDeniedError),
        (404, MissingResourceError),
        (429, UnavailableError),
        (500, UnavailableError),
        (418, CloudError),
    ],
)
def test_every_refusal_is_a_typed_error_in_the_registrys_words(
    registry: Registry, status: int, error: type[CloudError]
) -> None:
    registry.put("a", "t", CONFIG)
    registry.statuses = [status]
    with pytest.raises(error, match="as the test wants it"):
        read_image_config(f"{registry.host}/a:t")


def test_trouble_that_passes_is_waited_for(registry: Registry) -> None:
    registry.put("a", "t", CONFIG)
    registry.statuses = [503, 502]
    assert read_image_config(f"{registry.host}/a:t").architecture == "amd64"


def test_a_registry_that_does_not_answer_in_time_is_unavailable(registry: Registry) -> None:
    registry.delay_seconds = 0.5
    with pytest.raises(UnavailableError, match=r"within 0\.05 s"):
        read_image_config(f"{registry.host}/a:t", timeout_seconds=0.05)


def test_a_registry_that_is_not_there_is_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UnavailableError, match=r"cannot be reached \(.*refused"):
        read_image_config(f"127.0.0.1:{port}/a:t")


def test_data_of_another_digest_is_refused(registry: Registry) -> None:
    registry.put("a", "t", CONFIG)
    for digest in registry.blobs:
        registry.blobs[digest] = json.dumps({**CONFIG, "architecture": "arm64"}).encode()
    with pytest.raises(CloudError, match="sent other data"):
        read_image_config(f"{registry.host}/a:t")


@pytest.mark.parametrize(
    "data", [b"<html>", b"[]", b'{"schemaVersion": 1, "fsLayers": []}', b'{"manifests": []}', b'{"manifests": 3}']
)
def test_what_is_no_manifest_is_refused(registry: Registry, data: bytes) -> None:
    registry.put_manifest("a", "t", IMAGE, data)
    with pytest.raises(CloudError):
        read_image_config(f"{registry.host}/a:t")


def test_an_endless_answer_is_refused(registry: Registry) -> None:
    registry.put_manifest("a", "t", IMAGE, b" " * 5_000_000)
    with pytest.raises(CloudError, match="4,194,304"):
        read_image_config(f"{registry.host}/a:t")


def test_what_is_no_image_asks_nobody() -> None:
    with pytest.raises(ValueError, match="is not an image"):
        read_image_config("no such")


@pytest.mark.parametrize(
    ("uri", "has_account", "remedy"),
    [
        ("us-docker.pkg.dev/p/r/i", False, "gcloud auth application-default login"),
        ("us-docker.pkg.dev/p/r/i", True, "roles/artifactregistry.reader"),
        ("user/private", False, "does not exist or is private"),
        ("quay.io/user/private", False, "docker pull quay.io/user/private:latest"),
    ],
)
def test_each_kind_of_registry_has_its_own_way_in(uri: str, has_account: bool, remedy: str) -> None:
    error = error_for(RegistryResponse(401, "", b""), parse_reference(uri), has_account)
    assert isinstance(error, PermissionDeniedError)
    assert remedy in str(error)


def test_a_redirect_to_another_host_does_not_get_the_token(registry: Registry) -> None:
    registry.put("a", "t", CONFIG)
    registry.token = "secret"
    # the same machine, and another host to every client
    registry.elsewhere = f"localhost:{registry.port}"
    assert read_image_config(f"{registry.host}/a:t").architecture == "amd64"
    assert registry.authorizations[-2:] == ["Bearer secret", ""]


def test_a_password_in_netrc_does_not_take_the_tokens_place(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    registry.put("a", "t", CONFIG)
    registry.token = "secret"
    assert read_image_config(f"{registry.host}/a:t").architecture == "amd64"
    assert set(registry.authorizations) == {"", "Bearer secret"}


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"config":{"digest":"sha256:x"},"layers":[{"size":Infinity}]}',
        b'{"config":{"digest":"sha256:x"},"layers":[{"size":' + b"9" * 5000 + b"}]}",
        b'{"config":{"digest":null},"layers":[]}',
        b'{"manifests":[{"digest":"sha256:' + b"0" * 64 + b'","platform":["a"]}]}',
        b'{"manifests":[{"digest":"sha256:' + b"0" * 64 + b'","platform":{"os":["a"],"architecture":{}}}]}',
    ],
    ids=["deep list", "deep object", "infinity", "long number", "null", "list", "list of systems"],
)
def test_a_manifest_of_any_shape_is_an_error_of_ours(registry: Registry, data: bytes) -> None:
    registry.put_manifest("a", "t", IMAGE, data)
    with pytest.raises(CloudError):
        read_image_config(f"{registry.host}/a:t")


@pytest.mark.parametrize("digest", ["../../../other/manifests/x", "sha256:x", "sha256:" + "0" * 63 + "/", "sha512:0"])
@pytest.mark.parametrize("kind", ["manifests", "config"])
def test_what_is_no_digest_does_not_become_part_of_an_address(registry: Registry, digest: str, kind: str) -> None:
    entry = {"digest": digest, "platform": AMD64}
    manifest = {"manifests": [entry]} if kind == "manifests" else {"config": entry, "layers": []}
    registry.put_manifest("a", "t", IMAGE, json.dumps(manifest).encode())
    with pytest.raises(CloudError):
        read_image_config(f"{registry.host}/a:t")
    assert registry.asked == ["/v2/a/manifests/t"]


@pytest.mark.parametrize(
    "config", [b'{"config":"x"}', b'{"config":{"Env":5}}', b'{"config":{"Labels":[1]}}', b'{"config":{"Entrypoint":5}}']
)
def test_a_configuration_of_any_shape_is_an_error_of_ours(registry: Registry, config: bytes) -> None:
    registry.blobs[digest_of(config)] = config
    manifest = {"config": {"digest": digest_of(config)}, "layers": []}
    registry.put_manifest("a", "t", IMAGE, json.dumps(manifest).encode())
    with pytest.raises(CloudError, match="does not answer as a registry does"):
        read_image_config(f"{registry.host}/a:t")


@pytest.mark.parametrize("token", ["\u2603", "x\r\nHost: other"])
def test_a_token_that_no_header_takes_is_an_error_of_ours(registry: Registry, token: str) -> None:
    registry.token = token
    with pytest.raises(CloudError):
        read_image_config(f"{registry.host}/a:t")


def test_a_redirection_to_no_address_is_an_error_of_ours(registry: Registry) -> None:
    registry.put("a", "t", CONFIG)
    registry.elsewhere = "[::bad"
    with pytest.raises(CloudError):
        read_image_config(f"{registry.host}/a:t")


def test_an_answer_that_comes_byte_by_byte_ends_with_the_deadline() -> None:
    ends = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            deadline = time.monotonic() + 120
            while not ends.wait(0.05) and time.monotonic() < deadline:
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=(listener,))
        thread.start()
        try:
            with pytest.raises(UnavailableError, match=r"did not answer within 0\.3 s"):
                read_image_config(f"127.0.0.1:{listener.getsockname()[1]}/a:t", timeout_seconds=0.3)
            assert thread.is_alive()
        finally:
            ends.set()
            thread.join()


def redirected(old: str, new: str) -> requests.PreparedRequest:
    """The request to `new` after a redirection from `old`, which was asked with a token."""
    answer = requests.Response()
    answer.request = requests.Request("GET", old).prepare()
    request = requests.Request("GET", new, headers={"Authorization": "Bearer secret"}).prepare()
    with new_session() as session:
        session.rebuild_auth(request, answer)
    return request


def test_a_redirection_from_https_to_http_is_refused() -> None:
    with pytest.raises(CloudError, match="which is not https"):
        redirected("https://registry.example/v2/a", "http://registry.example/v2/a")


def test_a_redirection_gets_no_password_from_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine storage.example login me password mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert "Authorization" not in redirected("https://registry.example/v2/a", "https://storage.example/a").headers
    assert "Authorization" in redirected("https://registry.example/v2/a", "https://registry.example/b").headers
