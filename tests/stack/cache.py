"""What is fetched or generated once: the jars of ScalarDB Server, MariaDB, MySQL, Azurite, and the gRPC stubs of their protocols.

The cache is a directory outside the tree (``MIDTIME_CACHE``, by default ``~/.cache/midtime``). An entry is filled in a
temporary directory beside it and renamed when it is whole, under a lock, so that a second process waits instead of
downloading too, and one that was killed leaves nothing that looks finished.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

SCALARDB_VERSION = "3.13.6"
#: 3.13.6 of the last three is not to be had: naming them here makes them win over what the server's pom asks for
COORDINATES = (
    f"com.scalar-labs:scalardb-server:{SCALARDB_VERSION}",
    "com.scalar-labs:scalardb:3.13.1",
    "com.scalar-labs:scalardb-rpc:3.13.0",
    "com.scalar-labs:scalardb-schema-loader:3.13.0",
)
#: proto file inside the jar whose name starts so
PROTOS = {"scalardb-rpc-": "scalardb.proto", "scalar-admin-": "scalar/protobuf/admin.proto"}


def home() -> Path:
    """The directory of the cache."""
    path = Path(os.environ.get("MIDTIME_CACHE") or Path.home() / ".cache" / "midtime").expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


def entry(name: str, fill: Callable[[Path], None]) -> Path:
    """The directory ``name`` of the cache, filled by ``fill(directory)`` if it is not there yet."""
    final = home() / name
    if final.exists():
        return final
    with (home() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets it go when its owner dies
        if not final.exists():
            _fill(final, fill)
    return final


def _fill(final: Path, fill: Callable[[Path], None]) -> None:
    """Under the lock: what another process left half done is garbage."""
    for garbage in home().glob(f".{final.name}.tmp-*"):
        shutil.rmtree(garbage, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=f".{final.name}.tmp-", dir=home()))
    try:
        fill(directory)
        directory.chmod(0o755)
        directory.rename(final)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def scalardb_jars() -> Path:
    """The directory with every jar of ScalarDB Server, its schema loader and the scalar-admin command."""
    return entry(f"scalardb-{SCALARDB_VERSION}", lambda directory: download(COORDINATES, directory))


def classpath() -> str:
    return str(scalardb_jars() / "*")


def jar(coordinate: str, directory: Path) -> Path:
    """Fetch ``group:artifact:version`` alone, without what it depends on, into an empty directory."""
    group, artifact, version = coordinate.split(":")
    fetched: Path = _maven(directory).project(group, artifact).at_version(version).artifact().resolve()
    return fetched


def _maven(repository: Path) -> Any:
    """A Maven repository of our own: a shared one may hold what a killed download left."""
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=repository, remote_repos={"central": MAVEN_CENTRAL_URL}, timeout=60)


def download(coordinates: tuple[str, ...], directory: Path) -> None:
    """Resolve with jgo."""
    from jgo.parse import Endpoint

    repository = directory / "repository"
    context = _maven(repository)
    wanted = [context.create_dependency(coordinate) for coordinate in Endpoint.parse("+".join(coordinates)).coordinates]
    direct, transitive = context.resolver.resolve(wanted)
    artifacts = [node.artifact for node in [*direct, *(node for node in transitive if node.scope in ("compile", "runtime"))]]
    with ThreadPoolExecutor(8) as pool:
        for jar in pool.map(lambda artifact: artifact.resolve(), artifacts):
            shutil.move(jar, directory / jar.name)
    shutil.rmtree(repository)


def stubs(module: str) -> Any:
    """Import a generated module: ``scalardb_pb2`` or ``scalardb_pb2_grpc``.

    The admin stubs are generated beside them but not imported with them: protobuf refuses a second definition of the
    same messages in one process, and Midtime has its own.
    """
    directory = entry(f"stubs-{SCALARDB_VERSION}-{_tools_version()}", _generate)
    if str(directory) not in sys.path:
        sys.path.append(str(directory))
    loaded: ModuleType = importlib.import_module(module)
    return loaded


def _tools_version() -> str:
    """The stubs fit the protobuf runtime of the grpcio-tools that made them: another version makes its own."""
    from importlib.metadata import version

    return version("grpcio-tools")


def _generate(directory: Path) -> None:
    from grpc_tools import protoc  # type: ignore[import-untyped]

    include = Path(protoc.__file__).parent / "_proto"
    for prefix, name in PROTOS.items():
        (jar,) = scalardb_jars().glob(f"{prefix}*.jar")
        proto = directory / Path(name).name
        proto.write_bytes(zipfile.ZipFile(jar).read(name))
        options = [f"-I{directory}", f"-I{include}", f"--python_out={directory}", f"--grpc_python_out={directory}"]
        if protoc.main(["protoc", *options, str(proto)]):
            raise RuntimeError(f"protoc failed on {name} of {jar.name}")
