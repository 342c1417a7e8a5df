"""Azure Blob Storage: conditional PUTs, block lists, and folders that may be blobs themselves.

Requests go through the Azure SDK's client that adlfs has made from the Airflow connection. adlfs itself loses names: its listing mixes up
neighbours and folder markers, its removal stops at the first blob that somebody else removed, and a ``#`` ends its paths.
"""

from __future__ import annotations

import asyncio
import io
import logging
import uuid
from collections.abc import Coroutine, Iterable, Iterator
from typing import Any

from midtime.catalog.backends.base import Backend, Look, Upload, extra_of
from midtime.catalog.backends.parts import PartsUpload
from midtime.catalog.refusals import code_of

DEFAULTS = {"retry_total": 5, "connection_timeout": 10, "read_timeout": 60}
"""``config_kwargs`` in the connection's extra has precedence. Rides out a minute of trouble."""
ONE_REQUEST = 256 << 20
"""Up to here a blob goes in one PUT, not in blocks: two writers' blocks of one name could mix."""
ONE_PIECE = 1 << 20
"""Bytes that may be handed over in one piece."""
PARALLEL = 16
"""Deletions at a time."""


class AzureBlobBackend(Backend):
    """``abfss://connection@container/prefix``."""

    def __init__(self, fs: Any, conn_id: str | None) -> None:
        super().__init__(fs)
        if not hasattr(fs, "midtime_client"):
            fs.service_client = fs.midtime_client = _client(fs.service_client, conn_id)
        logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)  # 15 lines a request

    def put_new(self, path: str, content: bytes) -> None:
        """With ``If-None-Match: *``."""
        self._run(self._blob(path).upload_blob(content, overwrite=False))

    def undecided(self, error: Exception) -> bool:
        """The blob that was in our way is not there any more."""
        return code_of(error) in ("BlobAlreadyExists", "ConditionNotMet")

    def replace(self, path: str, content: bytes) -> None:
        """One PUT."""
        self._run(self._blob(path).upload_blob(content, overwrite=True))

    def read(self, path: str) -> bytes:
        """One GET."""

        async def read() -> bytes:
            content: bytes = await (await self._blob(path).download_blob()).readall()
            return content

        return self._found(read(), path)

    def names(self, folder: str) -> list[str]:
        """Of folders and blobs alike; a marker of the folder itself is none."""
        container, key = split(folder)
        start = f"{key}/" if key else ""

        async def names() -> dict[str, None]:
            listing = self._container(container).walk_blobs(name_starts_with=start, delimiter="/")
            return {each.name[len(start) :].rstrip("/"): None async for each in listing}

        return [name for name in self._run(names()) if name]

    def look(self, path: str) -> Look:
        """From a listing: unlike HEAD it says why, when it is refused."""
        container, key = split(path)

        async def look() -> Look:
            async for each in self._container(container).list_blobs(name_starts_with=key, results_per_page=1):
                if each.name != key:  # the first of all that begin so
                    break
                return Look(each.size, each.last_modified.timestamp())
            raise FileNotFoundError(path)

        found: Look = self._run(look())
        return found

    def remove_tree(self, path: str) -> None:
        """The blobs below that name, then the folders of an account that has real ones, the deepest first, then the name itself."""
        container, key = split(path)

        async def remove() -> None:
            folders = [key] if key else []
            listing = self._container(container).list_blobs(name_starts_with=f"{key}/" if key else "", include=["metadata"])
            async for page in listing.by_page():
                blobs = [each async for each in page]
                folders += (each.name for each in blobs if _is_folder(each))
                await self._delete(container, [each.name for each in blobs if not _is_folder(each)])
            for folder in sorted(folders, reverse=True):
                await self._delete(container, [folder])

        self._run(remove())

    def tree(self, folder: str) -> Iterator[tuple[str, Look]]:
        """5,000 blobs a request; what stands for a folder is none."""
        container, key = split(folder)
        start = f"{key}/" if key else ""

        async def tree() -> list[tuple[str, Look]]:
            listing = self._container(container).list_blobs(name_starts_with=start, include=["metadata"])
            return [
                (each.name[len(start) :], Look(each.size, each.last_modified.timestamp())) async for each in listing if not _is_folder(each)
            ]

        yield from self._run(tree())

    def remove_all(self, folder: str, names: Iterable[str]) -> None:
        """Some at a time."""
        container, key = split(folder)
        self._run(self._delete(container, [f"{key}/{name}" if key else name for name in names]))

    def upload(self, path: str) -> Upload:
        """In blocks, when it is large."""
        return BlockUpload(self, path)

    async def _delete(self, container: str, names: list[str]) -> None:
        client, turn = self._container(container), asyncio.Semaphore(PARALLEL)

        async def delete(name: str) -> None:
            async with turn:
                await client.delete_blob(name)

        for ended in await asyncio.gather(*map(delete, names), return_exceptions=True):
            if isinstance(ended, BaseException) and code_of(ended) != "BlobNotFound":
                raise ended

    def _container(self, name: str) -> Any:
        return self.fs.service_client.get_container_client(name)

    def _blob(self, path: str) -> Any:
        return self.fs.service_client.get_blob_client(*split(path))

    def _found(self, work: Coroutine[Any, Any, bytes], path: str) -> bytes:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            content: bytes = self._run(work)
            return content
        except ResourceNotFoundError as error:
            raise FileNotFoundError(path) from error

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        from fsspec.asyn import sync

        async def run() -> Any:
            return await work

        return sync(self.fs.loop, run)


class BlockUpload(PartsUpload):
    """A PUT, or blocks that nobody sees before their list is committed; the service drops the others after a week."""

    def __init__(self, backend: AzureBlobBackend, path: str) -> None:
        super().__init__()
        self._backend, self._client = backend, backend._blob(path)
        self._ids, self._prefix = list[str](), uuid.uuid4().hex

    def put_whole(self, content: bytearray) -> None:
        """In one request, or two: the SDK hands a PUT's body over in one piece, on which aiohttp frowns."""
        if len(content) <= ONE_PIECE:
            self._backend._run(self._client.upload_blob(bytes(content), overwrite=True))
        else:
            self.put_part(content)
            self.put_together()

    def put_part(self, content: bytearray) -> None:
        """The next block, under a name that no other writer's has."""
        block = f"{self._prefix}{self.parts:08}"
        self._backend._run(self._client.stage_block(block, io.BytesIO(content), length=len(content)))
        self._ids.append(block)

    def put_together(self) -> None:
        """Commit the list."""
        from azure.storage.blob import BlobBlock

        self._backend._run(self._client.commit_block_list([BlobBlock(each) for each in self._ids]))

    def abort(self) -> None:
        """Nothing to do."""


def split(path: str) -> tuple[str, str]:
    """Container and blob."""
    container, _, key = path.strip("/").partition("/")
    return container, key


def _is_folder(blob: Any) -> bool:
    return any(key.lower() == "hdi_isfolder" for key in blob.metadata or ())


def _client(made: Any, conn_id: str | None) -> Any:
    """The same client with other patience: adlfs has no argument for it, and the SDK's own waits 15 seconds before its first retry."""
    from azure.storage.blob.aio import BlobServiceClient, ExponentialRetry

    told = extra_of(conn_id).get("config_kwargs") or {}
    options = {key: told.get(key, default) for key, default in DEFAULTS.items()}
    retries = ExponentialRetry(initial_backoff=0, increment_base=2, random_jitter_range=1, retry_total=options.pop("retry_total"))
    transport = _transport(**options)
    return BlobServiceClient(
        made.url, credential=made.credential, retry_policy=retries, transport=transport, max_single_put_size=ONE_REQUEST
    )


def _transport(**timeouts: float) -> Any:
    from azure.core.pipeline.transport import AioHttpTransport

    class Transport(AioHttpTransport):  # type: ignore[misc]
        """Lets the SDK try again after a 429, which it takes for our own fault; gateways throttle with it."""

        async def send(self, request: Any, **config: Any) -> Any:
            response = await super().send(request, **config)
            if response.status_code == 429:
                response.status_code = 503
            return response

    return Transport(**timeouts)
