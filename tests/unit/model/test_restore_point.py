"""The manifest: sealed and unsealed unchanged, and refused after any edit."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from midtime.errors import ForeignManifestError, ManifestError
from midtime.model.restore_point import Artifact, DrillReport, RestorePoint, StoreBackup, digest_of
from tests.unit.builders import MIDTIME, drill_report, json_values, part, parts, point, points, resealed, sha256

ARTIFACT = Artifact(path="accounts/1.dat", size=7, sha256=sha256(b"1234567"))
SMALL = point(stores=(part(artifacts=(ARTIFACT,)),))
SEALED = SMALL.seal()


def unseal(raw: bytes) -> RestorePoint:
    return RestorePoint.unseal(raw, where="file:///b/manifest.json")


def refused_or_same(raw: bytes, original: RestorePoint) -> None:
    """An edit is noticed, unless it changed nothing that a reader sees."""
    refusal: ManifestError | None = None
    try:
        assert unseal(raw) == original
    except ManifestError as error:
        refusal = error
    assert refusal is None or ("file:///b/manifest.json" in refusal.message and refusal.fix)


class TestSeal:
    @given(points)
    def test_there_and_back(self, any_point: RestorePoint) -> None:
        raw = any_point.seal()
        again = unseal(raw)
        assert again == any_point
        assert again.seal() == raw, "the same record is the same file"

    def test_is_readable_json_with_its_digest(self) -> None:
        body = json.loads(SEALED)
        digest = body.pop("digest")
        assert digest == digest_of(body)
        assert (body["version"], body["id"], body["midtime"]) == (1, SMALL.id, "2026-11-21T02:00:07.250000Z")
        assert SEALED.endswith(b"}\n")

    @given(json_values)
    def test_digest_does_not_depend_on_the_order_of_keys(self, value: object) -> None:
        turned = {"b": value, "a": [value]}
        assert digest_of(turned) == digest_of(dict(reversed(turned.items())))
        assert digest_of(turned) == digest_of(json.loads(json.dumps(turned)))


class TestEdited:
    @given(points, st.data())
    @settings(max_examples=200)
    def test_any_byte_of_any_manifest(self, any_point: RestorePoint, data: st.DataObject) -> None:
        raw = bytearray(any_point.seal())
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] ^= data.draw(st.integers(1, 255))
        refused_or_same(bytes(raw), any_point)

    @pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
    def test_every_byte_of_one_manifest(self, flip: int) -> None:
        for at in range(len(SEALED)):
            raw = bytearray(SEALED)
            raw[at] ^= flip
            refused_or_same(bytes(raw), SMALL)

    def test_every_digit_counts(self) -> None:
        """Among the bytes of values there is none whose edit passes: the test above did not only see refusals of broken JSON."""
        for old, new in [(b'"rows": 3', b'"rows": 4'), (b'"size": 7', b'"size": 8'), (b"02:00:07.25", b"02:00:08.25"), (b"18.6", b"18.7")]:
            edited = SEALED.replace(old, new)
            assert edited != SEALED
            with pytest.raises(ManifestError, match="edited after it was written"):
                unseal(edited)

    @pytest.mark.parametrize(("old", "new"), [(b"\n  ", b"\n\t "), (b": ", b":\n"), (b"}\n", b"} ")])
    def test_white_space_says_nothing(self, old: bytes, new: bytes) -> None:
        assert unseal(SEALED.replace(old, new)) == SMALL

    @given(points, st.data())
    def test_truncated(self, any_point: RestorePoint, data: st.DataObject) -> None:
        raw = any_point.seal()
        with pytest.raises(ManifestError, match="unreadable"):
            unseal(raw[: data.draw(st.integers(0, len(raw) - 2))])

    def test_a_key_said_twice(self) -> None:
        with pytest.raises(ManifestError, match="edited"):
            unseal(SEALED.replace(b'"topology": "bank"', b'"topology": "bank", "topology": "other"'))

    def test_a_digest_of_another(self) -> None:
        other = json.loads(point(run="other").seal())["digest"]
        body = json.loads(SEALED) | {"digest": other}
        with pytest.raises(ManifestError, match="edited"):
            unseal(json.dumps(body).encode())


class TestUnreadable:
    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b" ",
            b"\0" * 4096,
            b"\xff\xfe{}",
            b"not json",
            b"null",
            b"3",
            b'"text"',
            b"[]",
            b'["digest"]',
            b"{}",
            b'{"version": 1}',
            b"[" * 100_000,
            b'{"a":' * 100_000,
            SEALED + SEALED,
        ],
    )
    def test_is_a_manifest_error(self, raw: bytes) -> None:
        with pytest.raises(ManifestError, match="unreadable") as caught:
            unseal(raw)
        assert not caught.value.retryable
        assert "another restore point" in caught.value.fix

    @given(st.binary(max_size=200))
    def test_so_is_anything_else(self, raw: bytes) -> None:
        with pytest.raises(ManifestError):
            unseal(raw)

    @pytest.mark.parametrize("version", [0, 2, "1", None, 99])
    def test_another_version_is_named_before_the_rest_is_judged(self, version: object) -> None:
        with pytest.raises(ManifestError, match="of version") as caught:
            unseal(resealed(SMALL, version=version, something_new={}))
        assert caught.value.fix == "use a newer Midtime"


class TestRules:
    """A fitting digest is not enough."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"stores": []},
            {"unknown": 1},
            {"id": "latest"},
            {"id": f"{SMALL.id}\n"},
            {"id": f"../{SMALL.id}"},
            {"midtime": "2026-11-21T02:00:07"},
            {"topology": None},
        ],
    )
    def test_broken(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ForeignManifestError, match="breaks the manifest's rules"):
            unseal(resealed(SMALL, **changes))

    def test_an_edited_one_is_nobody_s(self) -> None:
        body = json.loads(SEALED) | {"unknown": 1}
        with pytest.raises(ManifestError, match="edited") as caught:
            unseal(json.dumps(body).encode())
        assert not isinstance(caught.value, ForeignManifestError)

    @pytest.mark.parametrize(
        "path", ["../x", "/x", "a/../../x", "a/..", "..", ".", "", "a//x", "a/", "./a", "\\x", "a\\..\\x", "//x", "a/./x"]
    )
    def test_no_artifact_leaves_the_folder(self, path: str) -> None:
        with pytest.raises(ValidationError, match="leaves the restore point's folder"):
            Artifact(path=path, size=0, sha256=sha256(b""))
        stores = json.loads(json.dumps(SMALL.model_dump(mode="json")["stores"]))
        stores[0]["artifacts"][0]["path"] = path
        with pytest.raises(ManifestError, match="leaves the restore point's folder"):
            unseal(resealed(SMALL, stores=stores))

    @pytest.mark.parametrize("path", ["x", "a/b/c", "..x", "x..", "...", "a b", ".hidden", "日本"])
    def test_plain_paths_do_not(self, path: str) -> None:
        assert Artifact(path=path, size=0, sha256=sha256(b"")).path == path

    @pytest.mark.parametrize("changes", [{"size": -1}, {"sha256": "0" * 63}, {"sha256": "A" * 64}, {"sha256": "0" * 64 + "\n"}])
    def test_sizes_and_digests_have_their_form(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            Artifact(**({"path": "x", "size": 0, "sha256": "0" * 64} | changes))

    def test_naive_instants_are_refused(self) -> None:
        with pytest.raises(ValidationError, match="timezone"):
            point(finished_at=datetime(2026, 11, 21))

    def test_nothing_can_be_changed(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            SMALL.topology = "other"  # type: ignore[misc]


class TestReading:
    def test_sums(self) -> None:
        both = point(stores=(part("a", artifacts=(ARTIFACT, ARTIFACT)), part("b", artifacts=(ARTIFACT,))))
        assert (both.size, both.store("a").size, both.store("a").rows) == (21, 14, 3)
        assert both.artifacts() == (ARTIFACT,) * 3
        assert both.midtime == MIDTIME

    def test_a_store_that_is_not_in_it(self) -> None:
        with pytest.raises(ManifestError, match="no store 'gone'") as caught:
            SMALL.store("gone")
        assert "accounts" in caught.value.fix

    @given(parts)
    def test_parts_go_there_and_back(self, any_part: StoreBackup) -> None:
        assert StoreBackup.model_validate_json(any_part.model_dump_json()) == any_part

    def test_drill_reports_go_there_and_back(self) -> None:
        report = drill_report(SMALL)
        assert DrillReport.model_validate_json(report.model_dump_json(indent=2)) == report
