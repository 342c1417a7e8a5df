"""S3 and what speaks its protocol: conditional PUTs, multipart uploads, listings of 1,000 names a page.

Requests go through s3fs, with the credentials and the endpoint of the Airflow connection; listing and deleting do not use its folders,
which answer from the listing of the parent, take a folder's marker for an entry, and pass over objects that could not be deleted.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from midtime.catalog.backends.base import PATIENCE, Backend, Look, Upload, extra_of
from midtime.catalog.backends.parts import PartsUpload
from midtime.catalog.refusals import code_of

DEFAULTS = {"retries": {"mode": "legacy", "total_max_attempts": 8}, "connect_timeout": 10, "read_timeout": 60}
"""Of botocore's Config; ``config_kwargs`` in the connection's extra has precedence. Rides out a minute of trouble.

The other modes of retrying do not try again after a 429, with which some compatible stores throttle.
"""
TRIES = 3
"""How often s3fs does all that again where botocore gives up or does not look: a body that breaks off, throttling."""
ONE_REQUEST = 1 << 40
"""A chunk size beyond every object: never in parts."""
BATCH = 999
"""As many keys as one request deletes, less one for the object that has the folder's name."""


class S3Backend(Backend):
    """``s3://connection@bucket/prefix``."""

    def __init__(self, fs: Any, conn_id: str | None) -> None:
        super().__init__(fs)
        if hasattr(fs, "midtime_conn"):
            return
        extra_of(conn_id)  # the provider would take the environment's credentials for a connection that is not there
        fs.config_kwargs = {**DEFAULTS, **fs.config_kwargs}  # before its first request
        fs.retries, fs.midtime_conn = TRIES, conn_id

    def put_new(self, path: str, content: bytes) -> None:
        """With ``If-None-Match: *``."""
        self.fs.pipe_file(path, content, mode="create", chunksize=ONE_REQUEST)

    def undecided(self, error: Exception) -> bool:
        """S3 wants a PUT repeated that met another one, or a deletion, of the same name."""
        return code_of(error) in ("ConditionalRequestConflict", "OperationAborted", "PreconditionFailed", "409", "412")

    def replace(self, path: str, content: bytes) -> None:
        """One PUT."""
        self.fs.pipe_file(path, content, chunksize=ONE_REQUEST)

    def read(self, path: str) -> bytes:
        """One GET; s3fs would look first how long it is."""
        content: bytes = self.fs.cat_file(path, max_concurrency=1)
        return content

    def names(self, folder: str) -> list[str]:
        """Of folders and objects alike; a marker of the folder itself is none."""
        bucket, key = split(folder)
        start = f"{key}/" if key else ""
        found: dict[str, None] = {}
        for page in self._pages(Bucket=bucket, Prefix=start, Delimiter="/"):
            found |= dict.fromkeys(each["Prefix"][len(start) : -1] for each in page.get("CommonPrefixes", []))
            found |= dict.fromkeys(each["Key"][len(start) :] for each in page.get("Contents", []))
        return [name for name in found if name]

    def look(self, path: str) -> Look:
        """From a listing: unlike HEAD it says why, when it is refused."""
        bucket, key = split(path)
        page = self.fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
        for each in page.get("Contents", []):
            if each["Key"] == key:  # the first of all that begin so
                return Look(each["Size"], each["LastModified"].timestamp())
        raise FileNotFoundError(path)

    def remove_tree(self, path: str) -> None:
        """The object of that name, and all whose names begin with it and a slash."""
        bucket, key = split(path)
        own = [key] if key else []
        for page in self._pages(Bucket=bucket, Prefix=f"{key}/" if key else "", MaxKeys=BATCH):
            self._delete(bucket, own + [each["Key"] for each in page.get("Contents", [])])
            own = []

    def tree(self, folder: str) -> Iterator[tuple[str, Look]]:
        """1,000 objects a request; a folder's marker is none."""
        bucket, key = split(folder)
        start = f"{key}/" if key else ""
        for page in self._pages(Bucket=bucket, Prefix=start):
            for each in page.get("Contents", []):
                if not each["Key"].endswith("/"):
                    yield each["Key"][len(start) :], Look(each["Size"], each["LastModified"].timestamp())

    def remove_all(self, folder: str, names: Iterable[str]) -> None:
        """Many a request."""
        bucket, key = split(folder)
        keys = [f"{key}/{name}" if key else name for name in names]
        for begin in range(0, len(keys), BATCH):
            self._delete(bucket, keys[begin : begin + BATCH])

    def upload(self, path: str) -> Upload:
        """In parts, when it is large."""
        return S3Upload(self.fs, path)

    def _delete(self, bucket: str, keys: list[str]) -> None:
        for pause in (*PATIENCE, None):
            if not keys:
                return
            answer = self.fs.call_s3("delete_objects", Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True})
            refused = [each for each in answer.get("Errors", []) if each.get("Code") not in ("NoSuchKey", "NoSuchVersion")]
            keys = [each["Key"] for each in refused]
            if pause is None and keys:
                raise _refused(refused[0])
            if keys and pause:
                time.sleep(pause)

    def _pages(self, **request: Any) -> Iterator[dict[str, Any]]:
        while True:
            page = self.fs.call_s3("list_objects_v2", **request)
            yield page
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]


class S3Upload(PartsUpload):
    """A PUT, or a multipart upload: nothing is visible before it is completed."""

    def __init__(self, fs: Any, path: str) -> None:
        super().__init__()
        self._fs, self._path, self._etags = fs, path, list[str]()
        bucket, key = split(path)
        self._object, self._upload = {"Bucket": bucket, "Key": key}, ""

    def put_whole(self, content: bytearray) -> None:
        """All in one request."""
        self._fs.call_s3("put_object", **self._object, Body=io.BytesIO(content))

    def put_part(self, content: bytearray) -> None:
        """The next part."""
        if not self._upload:
            self._upload = self._fs.call_s3("create_multipart_upload", **self._object)["UploadId"]
        part = {"PartNumber": self.parts + 1, "UploadId": self._upload}
        self._etags.append(self._fs.call_s3("upload_part", **self._object, **part, Body=io.BytesIO(content))["ETag"])

    def put_together(self) -> None:
        """Complete; an upload that is not there (any more) is complete if the object is made of our parts: the reply was lost."""
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(self._etags, 1)]
        try:
            self._fs.call_s3("complete_multipart_upload", **self._object, UploadId=self._upload, MultipartUpload={"Parts": parts})
        except FileNotFoundError:
            if self._fs.call_s3("head_object", **self._object)["ETag"].strip('"') != self._etag():
                raise

    def _etag(self) -> str:
        digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in self._etags)
        return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(self._etags)}"

    def abort(self) -> None:
        """Have the parts deleted."""
        if self._upload:
            with suppress(FileNotFoundError):  # completed, or aborted already
                self._fs.call_s3("abort_multipart_upload", **self._object, UploadId=self._upload)


def split(path: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = path.strip("/").partition("/")
    return bucket, key


def _refused(told: dict[str, Any]) -> Exception:
    from botocore.exceptions import ClientError

    error: Exception = ClientError({"Error": told}, "DeleteObjects")
    return error
