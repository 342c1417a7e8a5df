"""One class for each kind of store: what :mod:`midtime.catalog.objects` promises, in the words of that store.

Any store that fsspec knows works, through :class:`~midtime.catalog.backends.base.Backend`; it is as good as fsspec's support for it.
Disk, S3 and Azure Blob have classes of their own, where fsspec promises less than the catalog needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from midtime.catalog.backends.base import Backend, Look, Upload
from midtime.catalog.backends.local import LocalBackend

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

__all__ = ["Backend", "Look", "Upload", "backend_of"]


def backend_of(path: ObjectStoragePath) -> Backend:
    """The class for a path's protocol; the path itself is then its ``path``, without protocol and connection."""
    match path.protocol:
        case "file" | "local":
            return LocalBackend(path.fs)
        case "s3" | "s3a":
            from midtime.catalog.backends.s3 import S3Backend  # slow to import: only where one is used

            return S3Backend(path.fs, path.conn_id)
        case "abfs" | "abfss" | "adl":
            from midtime.catalog.backends.azure_blob import AzureBlobBackend

            return AzureBlobBackend(path.fs, path.conn_id)
        case _:
            return Backend(path.fs)
