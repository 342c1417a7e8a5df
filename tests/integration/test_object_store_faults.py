"""The same stores over a bad network, when they are busy, and when they refuse us: ridden out, or told as what it is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.catalog import Catalog, artifacts, objects
from midtime.catalog.backends import parts
from midtime.errors import DestinationAccessError, DestinationError
from tests.integration.object_stores import HOPELESS, IMPATIENT, Place, proxied, server_of
from tests.stack.fault_proxy import Answer, BreakReply, BreakRequest, Fault, Stall

pytestmark = pytest.mark.integration
ALWAYS = float("inf")
KINDS = ["s3", "azure"]
BUSY = {"s3": (503, "SlowDown"), "azure": (503, "ServerBusy")}
TOO_MANY = {"s3": (429, "TooManyRequests"), "azure": (429, "TooManyRequests")}
BROKEN = {"s3": (500, "InternalError"), "azure": (500, "InternalError")}
BAD_GATEWAY = {"s3": (502, "BadGateway"), "azure": (502, "BadGateway")}
EXPIRED = {"s3": (400, "ExpiredToken"), "azure": (403, "AuthenticationFailed")}
TOO_LATE = (
    "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start - Expiry - Current</AuthenticationErrorDetail>"
)
DENIED = {"s3": (403, "AccessDenied"), "azure": (403, "AuthorizationPermissionMismatch")}
WRONG_KEY = {"s3": (403, "SignatureDoesNotMatch"), "azure": (403, "AuthenticationFailed")}


@pytest.fixture(scope="module")
def connected(request: pytest.FixtureRequest) -> Iterator[dict[str, Place]]:
    """Behind a proxy, by kind and patience."""
    with contextlib.ExitStack() as stack:
        yield {
            f"{kind} {name}": stack.enter_context(proxied(server_of(request, kind), **options[server_of(request, kind).name]))
            for kind in KINDS
            for name, options in (("impatient", IMPATIENT), ("hopeless", HOPELESS))
        }


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, connected: dict[str, Place]) -> Place:
    return connected[f"{request.param} impatient"].fresh()


@pytest.fixture(params=KINDS)
def hopeless(request: pytest.FixtureRequest, connected: dict[str, Place]) -> Place:
    return connected[f"{request.param} hopeless"].fresh()


@pytest.fixture(scope="module", autouse=True)
def no_waiting() -> Iterator[None]:
    """How long the SDKs wait between their tries is theirs; that they try again is what counts here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("azure.storage.blob.aio.ExponentialRetry.get_backoff_time", lambda *_: 0.02)
        patch.setattr("botocore.retryhandler.delay_exponential", lambda *_, **__: 0.02)
        yield


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART", 5 << 20)


def refusal(store: Place, words: dict[str, tuple[int, str]]) -> Fault:
    return Answer(store.server.refusal(*words["s3" if store.server.name == "s3" else "azure"], TOO_LATE if words is EXPIRED else ""))


def write_large(folder: Any, size: int = 12 << 20) -> artifacts.ArtifactWriter:
    content = os.urandom(size)
    with artifacts.new_artifact(folder, "large") as writer:
        writer.write(content)
    assert objects.read(folder / "large") == content
    return writer


FAULTS: dict[str, Callable[[Place], Fault]] = {
    "throttled": lambda store: refusal(store, BUSY),
    "too many requests": lambda store: refusal(store, TOO_MANY),
    "internal error": lambda store: refusal(store, BROKEN),
    "bad gateway": lambda store: refusal(store, BAD_GATEWAY),
    "reset in the request": lambda _: BreakRequest(1000),
    "reset before the reply": lambda _: BreakReply(0),
    "reset in the reply": lambda _: BreakReply(150),
    "stalled": lambda _: Stall(),
}


class TestRiddenOut:
    """One fault each; nobody hears of it."""

    @pytest.mark.parametrize("fault", FAULTS)
    def test_create(self, store: Place, fault: str) -> None:
        """A reply that was lost: the client tries again, and meets its own object."""
        planned = store.faults.plan(FAULTS[fault](store), "put")
        objects.create(store.root / "c", b"mine")
        with pytest.raises(FileExistsError):
            objects.create(store.root / "c", b"theirs")
        assert objects.read(store.root / "c") == b"mine"
        assert planned.met == 1

    @pytest.mark.parametrize("fault", FAULTS)
    def test_reads(self, store: Place, fault: str) -> None:
        content = os.urandom(40_000)
        store.put("c", content)
        planned = [store.faults.plan(FAULTS[fault](store), "get"), store.faults.plan(FAULTS[fault](store), "list")]
        assert objects.names(store.root) == ["c"]
        assert objects.read(store.root / "c") == content
        with artifacts.open_stream(store.root / "c", "rb") as stream:
            assert stream.read() == content
        assert [each.met for each in planned] == [1, 1]

    @pytest.mark.parametrize("fault", FAULTS)
    def test_uploads(self, store: Place, fault: str) -> None:
        """In a part, and in what makes one object of the parts: also when that was done and only its reply lost."""
        planned = [store.faults.plan(FAULTS[fault](store), operation, skip=skip) for operation, skip in (("part", 1), ("complete", 0))]
        writer = write_large(store.root)
        assert artifacts.verify([writer.artifact], store.root) == []
        assert [each.met for each in planned] == [1, 1]
        assert (store.keys(), store.unfinished()) == (["large"], [])

    @pytest.mark.parametrize("fault", ["throttled", "reset before the reply"])
    def test_the_rest(self, store: Place, fault: str, tmp_path: Path) -> None:
        planned = [store.faults.plan(FAULTS[fault](store), operation) for operation in ("uploads", "delete", "head")]
        writer = write_large(store.root)
        artifacts.download([writer.artifact], store.root, "", tmp_path)
        assert (tmp_path / "large").stat().st_size == 12 << 20
        objects.remove_tree(store.root)
        assert store.keys() == []
        assert sum(each.met for each in planned) == (3 if store.server.name == "s3" else 2), "Azure's blocks need no beginning"

    def test_a_large_read_that_breaks_off_in_the_middle(self, store: Place, tmp_path: Path) -> None:
        writer = write_large(store.root)
        planned = store.faults.plan(BreakReply(3_000_000), "get", times=2)
        artifacts.download([writer.artifact], store.root, "", tmp_path)
        assert planned.met == 2

    @pytest.mark.parametrize("ours", [True, False])
    def test_an_upload_that_was_completed_already(self, connected: dict[str, Place], ours: bool) -> None:
        """Some stores do not know a completed upload any more when the client asks again: what is there decides."""
        store = connected["s3 impatient"].fresh()
        store.put("large", b"an older one")
        if ours:
            store.faults.plan(BreakReply(0), "complete")
        store.faults.plan(Answer(store.server.refusal(404, "NoSuchUpload")), "complete")
        if ours:
            write_large(store.root)
            return
        with pytest.raises(DestinationError, match="NoSuchUpload"):
            write_large(store.root)

    def test_a_creation_that_met_another(self, connected: dict[str, Place]) -> None:
        """S3 answers 409 to both of two that come at the same instant, and wants them tried again."""
        store = connected["s3 impatient"].fresh()
        store.faults.plan(Answer(store.server.refusal(409, "ConditionalRequestConflict")), "put", times=2)
        objects.create(store.root / "c", b"mine")
        assert objects.read(store.root / "c") == b"mine"

    def test_keys_that_a_bulk_deletion_left(self, connected: dict[str, Place]) -> None:
        """S3 answers 200 and names them in the body, over which s3fs passes."""
        store = connected["s3 impatient"].fresh()
        store.put("a/1")
        store.faults.plan(left_over(f"{store.prefix}/a/1", "InternalError"), "delete")
        objects.remove_tree(store.root / "a")
        assert store.keys() == []
        store.put("a/1")
        store.faults.plan(left_over(f"{store.prefix}/a/1", "AccessDenied"), "delete", times=ALWAYS)
        with pytest.raises(DestinationAccessError, match="access denied"):
            objects.remove_tree(store.root / "a")


def left_over(key: str, code: str) -> Fault:
    body = f"<DeleteResult><Error><Key>{key}</Key><Code>{code}</Code><Message>left</Message></Error></DeleteResult>"
    return Answer(f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())


class TestTold:
    """Faults that do not end."""

    @pytest.mark.parametrize(
        ("words", "message", "advice", "retryable"),
        [
            (BUSY, "throttled", "less busy", True),
            (BROKEN, "InternalError", "run again", True),
            (EXPIRED, "credentials expired", "renew", True),
            (DENIED, "access denied", "permissions", False),
            (WRONG_KEY, "access denied", "permissions", False),
        ],
        ids=["throttled", "broken", "expired", "denied", "wrong key"],
    )
    @pytest.mark.parametrize("verb", ["create", "names", "remove"])
    def test_a_store_that_refuses(
        self, hopeless: Place, words: dict[str, tuple[int, str]], message: str, advice: str, retryable: bool, verb: str
    ) -> None:
        hopeless.faults.plan(refusal(hopeless, words), times=ALWAYS)
        work: dict[str, Callable[[Any], object]] = {
            "create": lambda path: objects.create(path, b"x"),
            "names": objects.names,
            "remove": objects.remove_tree,
        }
        with pytest.raises(DestinationError, match=message) as caught:
            work[verb](hopeless.root / "a")
        assert hopeless.prefix in caught.value.message
        assert advice in caught.value.fix
        assert caught.value.retryable is retryable
        assert hopeless.keys() == []

    @pytest.mark.parametrize("after", [0, 1, 2])
    def test_credentials_that_expire_in_mid_upload(self, hopeless: Place, after: int) -> None:
        """From the n-th part on everything is refused, the abort too: nothing is visible, and the error says why."""
        with (
            pytest.raises(DestinationError, match="credentials expired") as caught,
            artifacts.new_artifact(hopeless.root, "large") as writer,
        ):
            writer.write(bytes(5 << 20) * after)
            hopeless.faults.plan(refusal(hopeless, EXPIRED), times=ALWAYS)
            writer.write(bytes(12 << 20))
        assert caught.value.retryable, "another try reads the connection anew"
        assert hopeless.keys() == []

    def test_a_part_that_fails_for_good_takes_the_others_with_it(self, hopeless: Place) -> None:
        hopeless.faults.plan(refusal(hopeless, BROKEN), "part", skip=1, times=ALWAYS)
        with pytest.raises(DestinationError, match="InternalError"):
            write_large(hopeless.root)
        assert hopeless.keys() == []
        if hopeless.server.name == "s3":
            assert hopeless.unfinished() == [], "what is not completed is paid for"

    @pytest.mark.parametrize("fault", [BreakReply(0), Stall()], ids=["lost", "stalled"])
    def test_an_object_of_which_nobody_knows_whether_it_is_there(self, hopeless: Place, fault: Fault) -> None:
        """It was put together, and no reply comes, however often: it is taken back, so that it is not there after an error."""
        planned = hopeless.faults.plan(fault, "complete", times=ALWAYS)
        with pytest.raises(DestinationError):
            write_large(hopeless.root)
        assert planned.met
        assert hopeless.keys() == []

    def test_a_store_that_stands_still(self, hopeless: Place) -> None:
        hopeless.faults.plan(Stall(100), times=ALWAYS)
        began = time.monotonic()
        with pytest.raises(DestinationError) as caught:
            objects.names(hopeless.root)
        assert time.monotonic() - began < 30
        assert caught.value.retryable

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_store_that_is_not_there(self, request: pytest.FixtureRequest, kind: str) -> None:
        with proxied(server_of(request, kind), **HOPELESS[server_of(request, kind).name]) as gone:
            gone.faults.close()
            with pytest.raises(DestinationError, match="cannot list") as caught:
                objects.names(gone.root)
        assert caught.value.retryable

    def test_is_not_an_empty_catalog(self, hopeless: Place) -> None:
        hopeless.faults.plan(refusal(hopeless, DENIED), times=ALWAYS)
        with pytest.raises(DestinationAccessError):
            Catalog(hopeless.destination, "bank").newest(1)
