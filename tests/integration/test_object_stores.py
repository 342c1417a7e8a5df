"""What the catalog needs of a store, on the real protocols of S3 and of Azure Blob: exclusive, whole, fresh, complete."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from midtime.catalog import Catalog, artifacts, objects
from midtime.catalog.backends import parts
from midtime.errors import DestinationAccessError, DestinationError, LeaseHeldError
from tests.integration.object_stores import Place, place, proxied, server_of
from tests.unit.catalog.test_artifacts import FILES, files, write

pytestmark = pytest.mark.integration
WHOLE, OTHER = b"x" * 20_000, b"other"
MANY = {"s3": 1205, "azurite": 105}
"""More than one page and one bulk deletion of S3; more than Azure deletes at a time."""


@pytest.fixture(scope="module")
def connected(request: pytest.FixtureRequest) -> Iterator[dict[str, Place]]:
    with place(server_of(request, "s3")) as s3, place(server_of(request, "azure")) as azure:
        yield {"s3": s3, "azure": azure}


@pytest.fixture(params=["s3", "azure"])
def store(request: pytest.FixtureRequest, connected: dict[str, Place]) -> Place:
    return connected[request.param].fresh()


@pytest.fixture(params=["file", "s3", "azure"])
def root(request: pytest.FixtureRequest, connected: dict[str, Place], tmp_path: Path) -> Any:
    """A folder that is not there yet."""
    if request.param == "file":
        return objects.open_destination(f"file://{tmp_path}/destination")
    return connected[request.param].fresh().root


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(parts, "PART", 5 << 20)  # S3 takes no smaller ones
    return parts.PART


@contextmanager
def child(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that knows Midtime, and does not outlive the test."""
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class TestOneObject:
    def test_create(self, root: Any) -> None:
        objects.create(root / "a" / "b.json", WHOLE)
        assert objects.read(root / "a" / "b.json") == WHOLE
        with pytest.raises(FileExistsError, match=r"b\.json"):
            objects.create(root / "a" / "b.json", OTHER)
        assert objects.read(root / "a" / "b.json") == WHOLE

    def test_replace(self, root: Any) -> None:
        for content in (OTHER, b"", WHOLE):
            objects.replace(root / "a" / "b.json", content)
            assert objects.read(root / "a" / "b.json") == content
            assert objects.look(root / "a" / "b.json").size == len(content)

    def test_what_is_not_there(self, root: Any) -> None:
        objects.create(root / "a" / "b.json", b"")
        for path in (root / "a" / "b", root / "a", root / "a" / "b.json" / "c", root / "nowhere" / "c"):
            with pytest.raises(FileNotFoundError):
                objects.read(path)
        with pytest.raises(FileNotFoundError):
            objects.look(root / "a" / "b")
        objects.remove_tree(root / "nowhere")

    def test_readers_see_the_old_or_the_new(self, root: Any) -> None:
        contents = [bytes([number]) * 100_000 for number in range(4)]
        objects.replace(root / "c", contents[0])
        with ThreadPoolExecutor(4) as pool:
            writing = [pool.submit(lambda each=each: [objects.replace(root / "c", each) for _ in range(10)]) for each in contents[1:]]
            while not all(each.done() for each in writing):
                assert objects.read(root / "c") in contents
        assert [each.result() and None for each in writing] == [None] * 3

    @pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
    @pytest.mark.parametrize(("kind", "size"), [("s3", 101 << 20), ("azure", 65 << 20)])
    def test_a_large_one_is_still_one_conditional_put(self, request: pytest.FixtureRequest, kind: str, size: int) -> None:
        """Beyond these sizes the SDKs would send parts, and Azure mix those of two writers."""
        with proxied(server_of(request, kind)) as store:
            objects.create(store.root / "large", bytes(size))
            sent = store.faults.seen("put", "part", "uploads", "complete")
            assert [(each.operation, each.headers.get("if-none-match")) for each in sent] == [("put", "*")]


class TestRivals:
    def test_one_of_many_threads_wins(self, store: Place) -> None:
        barrier, root = Barrier(8), store.root

        def contend(number: int) -> list[int]:
            won = []
            for turn in range(12):
                barrier.wait()
                try:
                    objects.create(root / f"{turn}", str(number).encode() * 1000)
                    won.append(turn)
                except FileExistsError:
                    pass
            return won

        with ThreadPoolExecutor(8) as pool:
            wins = list(pool.map(contend, range(8)))
        assert sorted(turn for each in wins for turn in each) == list(range(12))
        assert all(objects.read(root / f"{turn}") == str(number).encode() * 1000 for number, won in enumerate(wins) for turn in won)

    def test_one_of_many_processes_wins(self, connected: dict[str, Place]) -> None:
        script = (
            "import sys\nfrom midtime.catalog import objects\nroots = [objects.open_destination(url) for url in sys.argv[2:]]\n"
            "for root in roots: objects.names(root)\n"
            "print('ready', flush=True)\nsys.stdin.readline()\n"
            "for turn in range(12):\n"
            "    for number, root in enumerate(roots):\n"
            "        try: objects.create(root / f'{turn}', sys.argv[1].encode() * 1000); print(number, turn)\n"
            "        except FileExistsError: pass\n"
        )
        stores = [each.fresh() for each in connected.values()]
        with contextlib.ExitStack() as stack:
            rivals = [stack.enter_context(child(script, f"{number}", *(each.destination for each in stores))) for number in range(3)]
            for each in rivals:
                assert each.stdout
                assert "ready\n" in iter(each.stdout.readline, "")
            for each in rivals:
                assert each.stdin
                each.stdin.write("go\n")
                each.stdin.flush()
            said = [each.communicate(timeout=120)[0].splitlines() for each in rivals]
            assert [each.returncode for each in rivals] == [0, 0, 0]
        for number, store in enumerate(stores):
            wins = {turn: rival for turn in range(12) for rival in range(3) if f"{number} {turn}" in said[rival]}
            assert sum(f"{number} {turn}" in lines for lines in said for turn in range(12)) == 12, "one winner each"
            assert [objects.read(store.root / f"{turn}") for turn in range(12)] == [f"{wins[turn]}".encode() * 1000 for turn in range(12)]

    def test_leases(self, root: Any) -> None:
        leases = Catalog(str(root), "bank").leases
        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda holder: _acquired(leases, holder), ["a", "b"]))
        assert sorted(map(bool, outcomes)) == [False, True]
        held = next(filter(None, outcomes))
        with pytest.raises(LeaseHeldError):
            leases.acquire("backup", "c")
        leases.renew(held, timedelta(seconds=-1))
        taken = leases.acquire("backup", "c")
        assert (taken.generation, taken.holder) == (held.generation + 1, "c")
        with pytest.raises(LeaseHeldError):
            leases.renew(held)
        leases.release("backup", "c")
        assert leases.acquire("backup", "d").generation == held.generation + 2
        assert leases.names() == ["backup"]
        assert objects.names(leases.folder) == [f"backup.{held.generation + 2}.json"], "older generations are forgotten"


def _acquired(leases: Any, holder: str) -> Any:
    try:
        return leases.acquire("backup", holder)
    except LeaseHeldError:
        return None


class TestNames:
    def test_of_objects_and_folders(self, root: Any) -> None:
        assert objects.names(root) == []
        for name in ("bank/1/m", "bank/2", "bank2/3", "bank.old", "bank/1/n/o"):
            objects.create(root / name, b"")
        assert sorted(objects.names(root)) == ["bank", "bank.old", "bank2"]
        assert sorted(objects.names(root / "bank")) == ["1", "2"]
        assert objects.names(root / "ban") == []

    def test_of_a_folder_with_a_marker(self, store: Place) -> None:
        """Consoles and other tools make an empty object for a folder: it must neither be an entry nor hide the others."""
        for marker in ("bank/", "bank/1/", "bank/empty/"):
            store.put(marker)
        if store.server.name == "azurite":
            store.server.client.upload_blob(f"{store.prefix}/bank", b"", metadata={"hdi_isfolder": "true"})
        objects.create(store.root / "bank" / "1" / "m", b"")
        objects.create(store.root / "bank" / "2", b"")
        assert sorted(objects.names(store.root / "bank")) == ["1", "2", "empty"]
        assert objects.names(store.root / "bank" / "1") == ["m"]
        assert objects.names(store.root / "bank" / "empty") == []
        objects.remove_tree(store.root / "bank")
        assert store.keys() == []

    def test_an_object_and_a_folder_of_one_name(self, store: Place) -> None:
        store.put("a", b"1")
        store.put("a/b", b"2")
        assert objects.names(store.root) == ["a"]
        assert objects.read(store.root / "a") == b"1"
        objects.remove_tree(store.root / "a")
        assert store.keys() == []

    def test_are_fresh(self, store: Place) -> None:
        """Somebody else writes and removes: no answer of ours may come from what we saw before."""
        root = store.root
        store.put("a/1", b"1")
        assert objects.names(root / "a") == ["1"]
        assert objects.look(root / "a" / "1").size == 1
        store.put("a/2", b"2")
        store.put("a/1", b"longer")
        assert objects.read(root / "a" / "2") == b"2"
        assert objects.look(root / "a" / "1").size == 6
        assert sorted(objects.names(root / "a")) == ["1", "2"]
        with artifacts.open_stream(root / "a" / "1", "rb") as stream:
            assert stream.read() == b"longer"

    def test_of_many_and_removal_of_them_by_two(self, store: Place) -> None:
        root, many = store.root, MANY[store.server.name]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: store.put(f"many/{number:05}/manifest.json"), range(many)))
        store.put("many2/kept")
        assert sorted(objects.names(root / "many")) == [f"{number:05}" for number in range(many)]
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(objects.remove_tree, [root / "many"] * 2)) == [None, None]
        assert store.keys() == ["many2/kept"]
        objects.remove_tree(root / "many")


class TestArtifacts:
    def test_every_byte_of_every_file(self, root: Any, tmp_path: Path) -> None:
        stored = artifacts.upload(write(tmp_path / "source", FILES), root / "point", "accounts")
        artifacts.check_sizes(stored, root / "point")
        assert artifacts.verify(stored, root / "point") == []
        artifacts.download(stored, root / "point", "accounts", tmp_path / "back")
        assert files(tmp_path / "back") == FILES

    @pytest.mark.parametrize("more", [-1, 0, 1])
    def test_around_the_size_of_a_part(self, store: Place, small_parts: int, more: int) -> None:
        content = os.urandom(2 * small_parts + more)
        with artifacts.new_artifact(store.root, "large") as writer:
            for start in range(0, len(content), 999_999):
                writer.write(memoryview(content)[start : start + 999_999])
        assert writer.artifact.size == len(content)
        assert objects.read(store.root / "large") == content
        assert artifacts.verify([writer.artifact], store.root) == []
        assert store.unfinished() == []

    @pytest.mark.parametrize("written", [0, 1000, 12 << 20])
    def test_a_block_that_fails_leaves_no_object(self, root: Any, small_parts: int, written: int) -> None:
        with pytest.raises(ZeroDivisionError), artifacts.new_artifact(root, "a/b") as writer:
            writer.write(bytes(written))
            raise ZeroDivisionError
        assert objects.names(root / "a") == []

    def test_a_block_that_fails_leaves_no_parts(self, connected: dict[str, Place], small_parts: int) -> None:
        store = connected["s3"].fresh()
        with pytest.raises(KeyboardInterrupt), artifacts.new_artifact(store.root, "a") as writer:
            writer.write(bytes(12 << 20))
            assert store.unfinished() == [f"{store.prefix}/a"]
            raise KeyboardInterrupt
        assert store.unfinished() == []

    def test_a_killed_process_leaves_no_object(self, connected: dict[str, Place]) -> None:
        script = (
            "import os, sys\nfrom midtime.catalog import artifacts, objects\nfrom midtime.catalog.backends import parts\nparts.PART = 5 << 20\n"
            "for number, url in enumerate(sys.argv[1:]):\n"
            "    block = artifacts.new_artifact(objects.open_destination(url), 'a')\n"
            "    block.__enter__().write(bytes(12 << 20)); number or globals().update(kept=block)\n"
            "os.kill(os.getpid(), 9)\n"
        )
        stores = [each.fresh() for each in connected.values()]
        with child(script, *(each.destination for each in stores)) as process:
            assert process.wait(120) == -9
        for store in stores:
            assert (store.keys(), store.unfinished()) == ([], [f"{store.prefix}/a"])

    def test_two_writers_of_one_name_do_not_mix(self, store: Place, small_parts: int) -> None:
        """A try that was thought dead, and its successor: one of them wins whole, the other wins as well or is told."""
        contents = (b"a" * (12 << 20), b"b" * (12 << 20))
        with contextlib.suppress(DestinationError), artifacts.new_artifact(store.root, "x") as one:
            one.write(contents[0])
            with artifacts.new_artifact(store.root, "x") as other:
                other.write(contents[1])
            assert objects.read(store.root / "x") == contents[1]
        assert objects.read(store.root / "x") in contents, "the loser removes nothing of the winner"

    def test_bytes_that_did_not_arrive(self, store: Place, small_parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
        put: Callable[..., None] = parts.PartsUpload._send

        def losing(upload: parts.PartsUpload) -> None:
            upload._buffer = upload._buffer[:-1] if upload.parts == 2 else upload._buffer
            put(upload)

        monkeypatch.setattr(parts.PartsUpload, "_send", losing)
        with (
            pytest.raises(DestinationError, match="12582911 of 12582912 bytes") as caught,
            artifacts.new_artifact(store.root, "a") as writer,
        ):
            writer.write(bytes(12 << 20))
        assert caught.value.retryable
        assert store.keys() == []


class TestLitter:
    def test_old_and_young(self, root: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        catalog = Catalog(str(root), "bank")
        draft = f".backup.1.json.{'0a' * 16}"
        for name in (draft, "backup.1.json"):
            objects.create(catalog.leases.folder / name, b"")
        assert catalog.remove_litter() == []
        monkeypatch.setattr(objects, "LITTER_AGE", timedelta(seconds=-5))
        assert catalog.remove_litter() == [draft]
        assert objects.names(catalog.leases.folder) == ["backup.1.json"]


class TestRefusals:
    @pytest.fixture(params=["s3", "azure"])
    def nowhere(self, request: pytest.FixtureRequest) -> Iterator[Any]:
        with place(server_of(request, request.param), bucket="no-such-bucket") as made:
            yield made.root

    @pytest.mark.parametrize("verb", ["names", "read", "look", "create", "replace", "remove", "upload", "lease"])
    def test_no_bucket(self, nowhere: Any, verb: str) -> None:
        """An empty answer would be taken for an empty catalog, and "not found" for a restore point that somebody removed."""
        work: dict[str, Callable[[], object]] = {
            "names": lambda: objects.names(nowhere),
            "read": lambda: objects.read(nowhere / "a"),
            "look": lambda: objects.look(nowhere / "a"),
            "create": lambda: objects.create(nowhere / "a", b""),
            "replace": lambda: objects.replace(nowhere / "a", b""),
            "remove": lambda: objects.remove_tree(nowhere),
            "upload": lambda: _upload_nothing(nowhere),
            "lease": lambda: Catalog(str(nowhere), "bank").leases.acquire("backup", "a"),
        }
        with pytest.raises(DestinationAccessError, match="no such bucket or container") as caught:
            work[verb]()
        assert not caught.value.retryable
        assert "no-such-bucket" in caught.value.message

    @pytest.mark.parametrize("url", ["s3://no_such_connection@bucket/x", "abfss://no_such_connection@container/x"])
    def test_no_connection(self, url: str) -> None:
        with pytest.raises(DestinationAccessError, match=r"no such connection .*no_such_connection"):
            objects.open_destination(url)


def _upload_nothing(folder: Any) -> None:
    with artifacts.new_artifact(folder, "a"):
        pass
