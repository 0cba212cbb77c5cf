"""Files are there whole or not at all, and a storage that is down says so in time."""

import errno
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from azure.storage.blob import BlobServiceClient
from botocore.stub import Stubber
from django.core.files.base import ContentFile
from moto.server import ThreadedMotoServer

from common.blob_storages import AzureBlobStorage, S3BlobStorage
from common.storages import DiskStorage, StorageUnavailable

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

# Less than half of what the SDKs' own defaults would wait, far more than a busy machine needs
SDK_PATIENCE_SECONDS = 30


@pytest.fixture(params=["a file without a name", "no such thing here", "no /proc here"])
def disk(request, tmp_path, monkeypatch) -> DiskStorage:
    """A folder of a file system that can keep a file without a name, and of one that cannot."""
    open_, link = os.open, os.link

    def cannot_be_nameless(path, flags, *args, **options):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported", path)
        return open_(path, flags, *args, **options)

    def without_proc(source, *args, **options):
        if source.startswith("/proc/"):
            raise FileNotFoundError(source)
        link(source, *args, **options)

    if request.param == "no such thing here":
        monkeypatch.setattr(os, "open", cannot_be_nameless)
    if request.param == "no /proc here":
        monkeypatch.setattr(os, "link", without_proc)
    return DiskStorage(location=tmp_path)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_file_on_disk_can_be_read_again(disk, tmp_path):
    name = disk.save("dishes/a.jpg", ContentFile(b"bytes"))
    with disk.open(name) as file:
        assert file.read() == b"bytes"
    assert files_below(tmp_path) == ["dishes/a.jpg"]
    assert (tmp_path / name).stat().st_mode & 0o007 == 0


def test_a_name_that_is_taken_is_not_overwritten(disk):
    first, second = (disk.save("a.jpg", ContentFile(data)) for data in (b"one", b"two"))
    assert first != second
    with disk.open(first) as file:
        assert file.read() == b"one"


def test_with_metadata_a_file_is_replaced(disk):
    for data in (b"one", b"two"):
        assert disk.save_with_metadata("a.json", data, {"verdict": "NOK"}) == "a.json"
    with disk.open("a.json") as file:
        assert file.read() == b"two"


@pytest.mark.parametrize("step", ["fsync", "fchmod", "link"])
def test_a_failed_write_leaves_nothing(disk, tmp_path, monkeypatch, step):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        disk.save("a.jpg", ContentFile(b"bytes"))
    assert files_below(tmp_path) == []


@pytest.mark.outer
def test_a_full_disk_leaves_no_partial_file(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        disk = DiskStorage(location=folder)
        disk.save("fits.jpg", ContentFile(b"x" * 100_000))
        with pytest.raises(OSError, match="No space"):
            disk.save("too_long.jpg", ContentFile(b"x" * 300_000))
        assert files_below(folder) == ["fits.jpg"]
        disk.delete("fits.jpg")
        disk.save("again.jpg", ContentFile(b"x" * 200_000))
    finally:
        subprocess.run(["umount", folder], check=True)


def azure(endpoint: str, *, timeout: float = 10, container: str = "pictures") -> AzureBlobStorage:
    connection = f"DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={endpoint};"  # noqa: E501
    return AzureBlobStorage(
        connection_string=connection,
        azure_container=container,
        timeout=timeout,
        overwrite_files=False,
    )


@contextmanager
def server_that_answers(status: int):
    """Serve nothing but this status, and count how often it was asked."""
    asked = []

    class Refusing(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(self.command)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_DELETE = answer

        def log_message(self, *args):
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/devstoreaccount1", asked
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def server_that_hangs():
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/devstoreaccount1"


def test_a_blob_service_with_errors_is_asked_twice_and_no_more():
    with server_that_answers(500) as (endpoint, asked):
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            azure(endpoint, timeout=2).save_with_metadata("a.jpg", b"bytes", {})
    assert asked == ["PUT", "PUT"]
    assert time.monotonic() - started < SDK_PATIENCE_SECONDS


def test_a_blob_service_that_hangs_costs_no_more_than_the_budget():
    with server_that_hangs() as endpoint:
        started = time.monotonic()
        with pytest.raises(StorageUnavailable):
            azure(endpoint, timeout=1).save("a.jpg", ContentFile(b"bytes"))
    assert time.monotonic() - started < SDK_PATIENCE_SECONDS


def test_a_blob_service_that_is_not_there_is_told_as_unavailable():
    storage = azure("http://127.0.0.1:9/devstoreaccount1", timeout=1)
    for call in (
        lambda: storage.save("a.jpg", ContentFile(b"bytes")),
        lambda: storage.open("a.jpg").read(),
        lambda: storage.exists("a.jpg"),
        lambda: storage.size("a.jpg"),
        lambda: storage.delete("a.jpg"),
    ):
        with pytest.raises(StorageUnavailable):
            call()


def test_the_time_budget_also_holds_without_a_connection_string():
    storage = AzureBlobStorage(
        account_name="pictures", account_key=KEY, azure_container="a", timeout=10
    )
    assert storage.service_client._config.retry_policy.total_retries == 1
    assert storage.service_client.url == "https://pictures.blob.core.windows.net/"


@pytest.mark.outer
class TestAzurite:
    @pytest.fixture
    def storage(self, azurite, request) -> AzureBlobStorage:
        return AzureBlobStorage(
            connection_string=azurite.connection_string,
            azure_container=f"test-{abs(hash(request.node.nodeid)) % 10**9}",
            overwrite_files=False,
            expiration_secs=300,
            timeout=5,
        )

    def test_the_first_write_creates_a_private_container(self, storage, azurite):
        name = storage.save("dishes/a.jpg", ContentFile(b"bytes"))
        with storage.open(name) as file:
            assert file.read() == b"bytes"
        service = BlobServiceClient.from_connection_string(azurite.connection_string)
        assert service.get_container_client(storage.azure_container).get_container_access_policy()[
            "public_access"
        ] in (
            None,
            "",
        )

    def test_a_name_that_is_taken_is_not_overwritten(self, storage):
        first, second = (storage.save("a.jpg", ContentFile(data)) for data in (b"one", b"two"))
        assert first != second
        assert storage.open(first).read() == b"one"

    def test_metadata_and_type_are_written_with_the_bytes(self, storage):
        for data in (b"one", b"two"):
            storage.save_with_metadata("d/a.jpg", data, {"verdict": "NOK"})
        properties = storage.client.get_blob_client("d/a.jpg").get_blob_properties()
        assert properties.metadata == {"verdict": "NOK"}
        assert properties.content_settings.content_type == "image/jpeg"
        assert storage.open("d/a.jpg").read() == b"two"

    def test_a_container_that_is_not_there_yet_holds_nothing(self, storage):
        with pytest.raises(FileNotFoundError):
            storage.listdir("")
        with pytest.raises(FileNotFoundError):
            storage.get_modified_time("a.jpg")

    def test_what_is_not_there_is_not_found(self, storage):
        storage.save("a.jpg", ContentFile(b"bytes"))
        assert not storage.exists("b.jpg")
        with pytest.raises(FileNotFoundError):
            storage.open("b.jpg")
        storage.delete("b.jpg")

    def test_it_recovers_when_the_service_comes_back(self, storage, azurite):
        storage.save("before.jpg", ContentFile(b"bytes"))
        azurite.stop()
        with pytest.raises(StorageUnavailable):
            storage.save("meanwhile.jpg", ContentFile(b"bytes"))
        azurite.start()
        storage.save("after.jpg", ContentFile(b"bytes"))
        assert storage.open("before.jpg").read() == b"bytes"


def s3(endpoint: str, *, timeout: float = 10, bucket: str = "pictures") -> S3BlobStorage:
    return S3BlobStorage(
        bucket_name=bucket,
        access_key="key",
        secret_key="secret",
        region_name="us-east-1",
        endpoint_url=endpoint,
        file_overwrite=False,
        default_acl="private",
        timeout=timeout,
    )


@pytest.fixture
def s3_endpoint() -> Iterator[str]:
    """An S3 of our own with the private bucket `pictures`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    s3(endpoint).connection.create_bucket(Bucket="pictures")
    yield endpoint
    server.stop()


@pytest.mark.outer
def test_s3_keeps_a_picture_with_its_metadata(s3_endpoint):
    storage = s3(s3_endpoint)
    assert storage.save_with_metadata("d/a.jpg", b"bytes", {"verdict": "NOK"}) == "d/a.jpg"
    kept = storage.bucket.Object("d/a.jpg").get()
    assert (kept["Body"].read(), kept["Metadata"], kept["ContentType"]) == (
        b"bytes",
        {"verdict": "NOK"},
        "image/jpeg",
    )
    assert storage.open("d/a.jpg").read() == b"bytes"
    assert (storage.exists("d/a.jpg"), storage.size("d/a.jpg")) == (True, 5)
    storage.delete("d/a.jpg")
    assert not storage.exists("d/a.jpg")


@pytest.mark.outer
def test_s3_overwrites_no_name_that_is_taken(s3_endpoint):
    storage = s3(s3_endpoint)
    first, second = (storage.save("a.jpg", ContentFile(data)) for data in (b"one", b"two"))
    assert first != second
    assert storage.open(first).read() == b"one"


@pytest.mark.outer
def test_s3_keeps_pictures_from_strangers(s3_endpoint):
    storage = s3(s3_endpoint)
    storage.save("a.jpg", ContentFile(b"bytes"))
    owner = storage.bucket.Acl().owner["ID"]
    assert [grant["Grantee"]["ID"] for grant in storage.bucket.Object("a.jpg").Acl().grants] == [
        owner
    ]


@pytest.mark.outer
def test_what_s3_does_not_have_is_told_as_a_missing_file(s3_endpoint):
    with pytest.raises(FileNotFoundError):
        s3(s3_endpoint).open("never.jpg")


@pytest.mark.outer
def test_a_bucket_that_is_missing_is_told(s3_endpoint):
    storage = s3(s3_endpoint, bucket="forgotten")
    with pytest.raises(OSError, match=r"a\.jpg"):
        storage.save("a.jpg", ContentFile(b"bytes"))


def test_an_error_of_s3_is_told_as_unavailable():
    storage = s3("http://127.0.0.1:9")
    with Stubber(storage.connection.meta.client) as stubber:
        stubber.add_client_error("get_object", "SlowDown", http_status_code=500)
        with pytest.raises(StorageUnavailable):
            storage.open("a.jpg")


def test_s3_that_is_not_there_is_told_in_time():
    storage = s3("http://127.0.0.1:9", timeout=1)
    started = time.monotonic()
    for call in (
        lambda: storage.save("a.jpg", ContentFile(b"bytes")),
        lambda: storage.exists("a.jpg"),
    ):
        with pytest.raises(StorageUnavailable):
            call()
    assert time.monotonic() - started < SDK_PATIENCE_SECONDS
