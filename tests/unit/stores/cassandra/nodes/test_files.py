"""Files of a node: found, hashed, sent out and taken in, whatever they are called and whatever happens meanwhile."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path

import pytest

from midtime.errors import CopyError, StoreAccessError, ToolError
from midtime.stores.cassandra.nodes.files import FileSeen, exists, find, free_bytes, hashes, remove_tree, send_out, take_in
from midtime.stores.cassandra.nodes.local import LocalNode

NODE = LocalNode("node-a", "127.0.0.1")
ODD = [
    "plain",
    "-rf",
    "--checkpoint-action=exec=false",
    "with space/and\nnewline\tand tab",
    "back\\slash\\n\r",
    "quote's/\"$(id)`id`*",
    "ü/雪",
    "<root>/{}",
    f"{'long' * 50}/{'longer' * 40}",
    "empty",
    "block",
]
CONTENT = {path: bytes(range(256)) * (11 * index) for index, path in enumerate(ODD)} | {"empty": b"", "block": b"x" * 512}


@pytest.fixture(params=[True, False], ids=["here", "by tools"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker's own files are read without tools; those of any other node by them."""
    monkeypatch.setattr(NODE, "here", request.param)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return fill(tmp_path / "data -1", CONTENT)


def fill(root: Path, content: dict[str, bytes]) -> Path:
    for path, data in content.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def content_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def sent_out(root: Path, paths: list[str]) -> dict[str, bytes]:
    with send_out(NODE, str(root), paths) as files:
        return {path: b"".join(chunks) for path, _, chunks in files}


class TestFind:
    def test_all_of_it(self, root: Path, tmp_path: Path) -> None:
        found = {file.path: file for file in find(NODE, [str(root), str(tmp_path / "none")])}
        assert found.keys() == CONTENT.keys()
        for path, file in found.items():
            stat = (root / path).stat()
            assert file == FileSeen(str(root), path, len(CONTENT[path]), stat.st_ino, stat.st_mtime_ns)

    def test_of_several_roots_with_tests(self, tmp_path: Path) -> None:
        roots = [str(fill(tmp_path / name, {"a/x.db": b"1", "b/x.txt": b"2"})) for name in ("one", "two")]
        assert [(file.root, file.path) for file in find(NODE, roots, "-path", "*/a/*", "-name", "*.db")] == [
            (root, "a/x.db") for root in roots
        ]

    def test_nothing(self, tmp_path: Path) -> None:
        assert find(NODE, []) == find(NODE, [str(tmp_path)]) == []

    def test_a_root_that_is_a_link(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(root)
        assert len(find(NODE, [str(tmp_path / "link")])) == len(CONTENT)

    def test_a_link_is_an_error(self, root: Path) -> None:
        (root / "link").symlink_to("plain")
        with pytest.raises(ToolError, match="link is a symbolic link"):
            find(NODE, [str(root)])

    def test_a_name_that_is_no_utf8_is_an_error(self, root: Path) -> None:
        Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9")).touch()
        with pytest.raises(ToolError, match=r"b'caf\\xe9' in .* is no UTF-8"):
            find(NODE, [str(root)])

    def test_a_wrong_test_is_an_error(self, root: Path) -> None:
        with pytest.raises(ToolError, match="-nome"):
            find(NODE, [str(root)], "-nome", "x")


@pytest.mark.usefixtures("way")
class TestHashes:
    def test_of_odd_names(self, root: Path) -> None:
        assert hashes(NODE, str(root), ODD) == {path: sha256(data).hexdigest() for path, data in CONTENT.items()}

    def test_of_none(self, root: Path) -> None:
        assert hashes(NODE, str(root), []) == {}

    def test_of_many(self, tmp_path: Path) -> None:
        content = {f"{index % 7}/{'x' * 100}{index}": b"%d" % index for index in range(3000)}
        fill(tmp_path, content)
        assert hashes(NODE, str(tmp_path), list(content), jobs=4) == {path: sha256(data).hexdigest() for path, data in content.items()}

    def test_large_files_get_more_time(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A disk of 20 MB/s reads 1 TB in 14 hours."""
        given: list[float] = []
        monkeypatch.setattr(NODE, "here", False)
        output = NODE.output
        monkeypatch.setattr(NODE, "output", lambda *words, timeout, **said: (given.append(timeout), output(*words, **said))[1])
        for size in (0, 10**12):
            hashes(NODE, str(root), ["plain"], size=size)
        assert given == [3600, 3600 + 50_000]

    def test_a_file_that_is_missing(self, root: Path) -> None:
        with pytest.raises(ToolError, match="No such file"):
            hashes(NODE, str(root), [*ODD, "none"])


@pytest.mark.usefixtures("way")
class TestThereAndBack:
    def test_of_odd_names(self, root: Path, tmp_path: Path) -> None:
        with send_out(NODE, str(root), ODD) as files:
            take_in(NODE, str(tmp_path / "new" / "place"), files, None)
        assert content_of(tmp_path / "new/place") == CONTENT

    def test_in_the_given_order_and_also_unread(self, root: Path) -> None:
        with send_out(NODE, str(root), ODD[::-1]) as files:
            assert [(path, size) for path, size, _ in files] == [(path, len(CONTENT[path])) for path in ODD[::-1]]

    def test_links_to_one_file_have_its_content_each(self, tmp_path: Path) -> None:
        fill(tmp_path, {"a": b"same"})
        (tmp_path / "b").hardlink_to(tmp_path / "a")
        assert sent_out(tmp_path, ["a", "b", "a"]) == {"a": b"same", "b": b"same"}

    def test_many_small_files(self, tmp_path: Path) -> None:
        content = {f"{index % 50}/{index}": b"%d" % index for index in range(10_000)}
        fill(tmp_path / "one", content)
        with send_out(NODE, str(tmp_path / "one"), list(content)) as files:
            take_in(NODE, str(tmp_path / "two"), files, None)
        assert content_of(tmp_path / "two") == content

    def test_a_file_larger_than_any_buffer_comes_in_pieces(self, tmp_path: Path) -> None:
        fill(tmp_path, {"big": os.urandom(40 << 20) + b"end"})
        with send_out(NODE, str(tmp_path), ["big"]) as files:
            for _, size, chunks in files:
                assert size == (40 << 20) + 3
                digest = sha256()
                for chunk in chunks:
                    assert 0 < len(chunk) <= 1 << 20
                    digest.update(chunk)
        assert digest.hexdigest() == sha256((tmp_path / "big").read_bytes()).hexdigest()

    def test_nothing(self, tmp_path: Path) -> None:
        assert sent_out(tmp_path, []) == {}
        take_in(NODE, str(tmp_path / "new"), [], None)
        assert list((tmp_path / "new").iterdir()) == []


class TestRoom:
    def test_free(self, root: Path) -> None:
        stat = os.statvfs(root)
        assert abs(free_bytes(NODE, str(root)) - stat.f_bavail * stat.f_frsize) < 1 << 30

    def test_there_or_not(self, root: Path) -> None:
        (root / "dangling").symlink_to("none")
        assert [exists(NODE, str(root / name)) for name in ("-rf", "ü", "dangling", "none")] == [True, True, True, False]

    def test_a_tree_is_removed_and_no_link_followed(self, root: Path, tmp_path: Path) -> None:
        mine = fill(tmp_path / "midtime_tmp_x", {"a/b": b""})
        (mine / "link").symlink_to(root)
        for _ in range(2):
            remove_tree(NODE, str(mine))
            assert not mine.exists()
        assert content_of(root) == CONTENT

    @pytest.mark.parametrize(
        "path", ["/", "", "/data", "midtime_tmp_x", "/midtime_a/..", "/midtime_a/data", "/midtime_a/", "/data/../midtime_a"]
    )
    def test_nothing_else_is_removed(self, path: str) -> None:
        with pytest.raises(ValueError, match="not a folder of ours"):
            remove_tree(NODE, path)


class TestOwner:
    @pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
    @pytest.mark.parametrize("owner", ["daemon:bin", "daemon"])
    def test_files_and_folders_are_given_to_it(self, tmp_path: Path, owner: str) -> None:
        take_in(NODE, str(tmp_path / "new"), [("a/b/c", 1, [b"x"])], owner)
        stats = [(tmp_path / "new" / path).stat() for path in ("", "a", "a/b", "a/b/c")]
        assert {(stat.st_uid, stat.st_gid) for stat in stats} == {(1, 2 if owner == "daemon:bin" else 1)}

    @pytest.mark.parametrize("owner", ["nobody-here", "root:nobody-here"])
    def test_one_that_is_unknown(self, tmp_path: Path, owner: str) -> None:
        with pytest.raises(ToolError, match="nobody-here"):
            take_in(NODE, str(tmp_path / "new"), [("a", 1, [b"x"])], owner)

    def test_giving_away_what_we_may_not(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "id").write_text("#!/bin/sh\nif test $# = 1; then echo 4711; else exec /usr/bin/id $@; fi\n")
        (tmp_path / "id").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        with pytest.raises(StoreAccessError, match="we are user 4711 there and cannot give files to root"):
            take_in(NODE, str(tmp_path / "new"), [("a", 1, [b"x"])], "root")

    @pytest.mark.parametrize("path", ["/a", "../a", "a/../../b", "./a", "", "a//b"])
    def test_no_path_leads_out_of_the_root(self, tmp_path: Path, path: str) -> None:
        with pytest.raises(ValueError, match="not a path below a folder"):
            take_in(NODE, str(tmp_path), [(path, 1, [b"x"])], None)


class TestSizes:
    @pytest.mark.parametrize("chunks", [[], [b"x"], [b"xx", b"xx"]])
    def test_a_content_of_another_size_is_an_error(self, tmp_path: Path, chunks: list[bytes]) -> None:
        with pytest.raises(CopyError, match=r"the content of a has \d bytes instead of 3"):
            take_in(NODE, str(tmp_path), [("a", 3, chunks)], None)
