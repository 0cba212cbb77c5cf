"""Storages in the cloud: every call has a time budget, and every failure is an OSError.

The SDKs' own defaults keep a request waiting for more than a minute when the service is down. Here
a call is tried twice and gives up within about `timeout` seconds; longer patience belongs into
background work (`jobs`). Imported only where a setting names one: the SDKs are large.
"""

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient, ContentSettings, LinearRetry
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import File
from django.utils.deconstruct import deconstructible
from storages.backends.azure_storage import AzureStorage
from storages.backends.s3 import S3Storage

from common.metrics import storage_errors
from common.storages import StorageUnavailable, StoredFile

ATTEMPTS = 2
# Of the budget: to connect and to wait for bytes in each attempt, and to pause between the two.
# Twice the first two and once the last make one.
_CONNECT_SHARE, _READ_SHARE, _PAUSE_SHARE = 0.1, 0.35, 0.1


@contextmanager
def _azure_errors_as_os_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ResourceNotFoundError as error:
        raise FileNotFoundError(f"There is no blob {name}.") from error
    except AzureError as error:
        storage_errors.labels("azure").inc()
        raise StorageUnavailable(
            f"Azure Blob Storage did not serve {name}: {type(error).__name__}"
        ) from error


@deconstructible(path="common.blob_storages.AzureBlobStorage")
class AzureBlobStorage(AzureStorage):
    """Azure Blob Storage; the container is created when it is missing, private."""

    def _get_service_client(self) -> BlobServiceClient:
        retries = LinearRetry(
            backoff=self.timeout * _PAUSE_SHARE, retry_total=ATTEMPTS - 1, random_jitter_range=0
        )
        options = {
            "connection_timeout": self.timeout * _CONNECT_SHARE,
            "read_timeout": self.timeout * _READ_SHARE,
            "retry_policy": retries,
            **self.client_options,
        }
        if self.connection_string is not None:
            return BlobServiceClient.from_connection_string(self.connection_string, **options)
        url = f"{self.azure_protocol}://{self.account_name}.blob.{self.endpoint_suffix}"
        credential: Any = self.sas_token or self.token_credential
        if self.account_key:
            credential = {"account_name": self.account_name, "account_key": self.account_key}
        return BlobServiceClient(url, credential=credential, **options)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return the name as it is."""
        # Whether it is free, the conditional upload finds out in the same request.
        return name

    def _save(self, name: str, content: File) -> str:
        data = b"".join(content.chunks())
        settings = ContentSettings(**self._get_content_settings_parameters(name, content))
        while True:
            try:
                self._upload(name, data, overwrite=self.overwrite_files, content_settings=settings)
            except FileExistsError:
                root, extension = os.path.splitext(name)
                name = self.get_alternative_name(root, extension)
            else:
                return name

    def save_with_metadata(self, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
        """Write or replace a blob in one request: its metadata is there exactly when it is."""
        settings = ContentSettings(**self._get_content_settings_parameters(name))
        self._upload(name, data, overwrite=True, metadata=dict(metadata), content_settings=settings)
        return name

    def _upload(self, name: str, data: bytes, **options: Any) -> None:
        path = self._get_valid_path(name)
        with _azure_errors_as_os_errors(name):
            try:
                self.client.upload_blob(path, data, timeout=self.timeout, **options)
            except ResourceExistsError as error:
                raise FileExistsError(name) from error
            except HttpResponseError as error:
                if getattr(error, "error_code", "") != "ContainerNotFound":
                    raise
                # Looking for the container before each upload would cost a request every time.
                self._make_container()
                self.client.upload_blob(path, data, timeout=self.timeout, **options)

    def ensure_container(self) -> bool:
        """Make the container if it is missing, private; return whether it was made."""
        with _azure_errors_as_os_errors(self.azure_container):
            return not self.client.exists(timeout=self.timeout) and self._make_container()

    def _make_container(self) -> bool:
        try:
            self.client.create_container(timeout=self.timeout)
        except ResourceExistsError:
            return False  # another process was quicker
        return True

    def files(self) -> Iterator[StoredFile]:
        """Yield every blob; a request fetches the names of some thousands."""
        self.ensure_container()
        prefix = self.location.strip("/")
        with _azure_errors_as_os_errors(self.azure_container):
            for blob in self.client.list_blobs(
                name_starts_with=prefix and f"{prefix}/", timeout=self.timeout
            ):
                yield StoredFile(blob.name[len(prefix) :].lstrip("/"), str(blob.etag))

    def signed_url(self, name: str, *, media_type: str, file_name: str) -> str:
        """Return an address of this one blob that anybody can read for `expiration_secs`.

        Signed with the account's key, or under a managed identity with a user delegation key, which
        Azure gives.

        Raises:
            StorageUnavailable: there is no such key now.
        """
        served = {
            "content_type": media_type,
            "content_disposition": f'inline; filename="{file_name}"',
        }
        with _azure_errors_as_os_errors(name):
            return self.url(name, parameters=served)

    def _open(self, name: str, mode: str = "rb") -> File:
        """Return the whole blob, fetched now: so that what goes wrong goes wrong here."""
        with _azure_errors_as_os_errors(name):
            blob = self.client.download_blob(self._get_valid_path(name), timeout=self.timeout)
            return File(io.BytesIO(blob.readall()), name)

    def exists(self, name: str) -> bool:
        with _azure_errors_as_os_errors(name):
            return super().exists(name)

    def delete(self, name: str) -> None:
        with _azure_errors_as_os_errors(name):
            super().delete(name)

    def size(self, name: str) -> int:
        with _azure_errors_as_os_errors(name):
            return super().size(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        with _azure_errors_as_os_errors(path):
            return super().listdir(path)

    def get_modified_time(self, name: str) -> datetime:
        with _azure_errors_as_os_errors(name):
            return super().get_modified_time(name)


@contextmanager
def _s3_errors_as_os_errors(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            raise FileNotFoundError(f"There is no object {name}.") from error
        storage_errors.labels("s3").inc()
        raise StorageUnavailable(f"S3 did not serve {name}: {error}") from error
    except BotoCoreError as error:
        storage_errors.labels("s3").inc()
        raise StorageUnavailable(f"S3 did not serve {name}: {error}") from error


@deconstructible(path="common.blob_storages.S3BlobStorage")
class S3BlobStorage(S3Storage):
    """S3, or anything that speaks its protocol; the bucket has to be there."""

    def __init__(self, *, timeout: float = 10, **settings: Any) -> None:
        super().__init__(**settings)
        budget = Config(
            connect_timeout=timeout * _CONNECT_SHARE,
            read_timeout=timeout * _READ_SHARE,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        self.client_config: Config = self.client_config.merge(budget)

    def _save(self, name: str, content: File) -> str:
        with _s3_errors_as_os_errors(name):
            return super()._save(name, content)

    def save_with_metadata(self, name: str, data: bytes, metadata: Mapping[str, str]) -> str:
        """Write or replace an object with its metadata; one request."""
        with _s3_errors_as_os_errors(name):
            parameters = self._get_write_parameters(name)
            self.bucket.Object(self._normalize_name(name)).put(
                Body=data, Metadata=dict(metadata), **parameters
            )
        return name

    def files(self) -> Iterator[StoredFile]:
        """Yield every object; a request fetches the names of a thousand."""
        prefix = self.location.strip("/")
        with _s3_errors_as_os_errors(self.bucket_name):
            for found in self.bucket.objects.filter(Prefix=prefix and f"{prefix}/"):
                yield StoredFile(found.key[len(prefix) :].lstrip("/"), str(found.e_tag))

    def _open(self, name: str, mode: str = "rb") -> File:
        """Return the whole object, fetched now: so that what goes wrong goes wrong here."""
        with _s3_errors_as_os_errors(name):
            answer = self.bucket.Object(self._normalize_name(name)).get()
            return File(io.BytesIO(answer["Body"].read()), name)

    def exists(self, name: str) -> bool:
        with _s3_errors_as_os_errors(name):
            return super().exists(name)

    def delete(self, name: str) -> None:
        with _s3_errors_as_os_errors(name):
            super().delete(name)

    def size(self, name: str) -> int:
        with _s3_errors_as_os_errors(name):
            return super().size(name)

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        with _s3_errors_as_os_errors(path):
            return super().listdir(path)

    def get_modified_time(self, name: str) -> datetime:
        with _s3_errors_as_os_errors(name):
            return super().get_modified_time(name)
