"""What is said when a node does not let us in, or is not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midtime.errors import StoreAccessError, StoreUnreachableError
from midtime.model.topology.cassandra import Access, SshAccess
from midtime.stores.cassandra.nodes.opened import open_nodes
from midtime.stores.cassandra.nodes.ssh import SshNode
from tests.integration.cassandra_reached import ACCESS, Servers, servers
from tests.stack.pod import Pod
from tests.stack.processes import Port
from tests.stack.sshd import Sshd

__all__ = ["servers"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


@pytest.fixture(params=["ssh", "openssh"])
def server(request: pytest.FixtureRequest, servers: Servers) -> Sshd:
    made: Sshd = servers.get(request.param)
    return made


@pytest.fixture
def pod(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> Pod:
    made: Pod = servers.get("pod")
    monkeypatch.setenv("AIRFLOW_CONN_MIDTIME_PODS", made.conn())
    return made


def log_in(monkeypatch: pytest.MonkeyPatch, connection: str, *, sudo: bool = False) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MIDTIME_SSH", connection)
    node = SshNode("node-a", "127.0.0.1", SshAccess(conn_id="midtime_ssh", sudo=sudo))
    try:
        node.run(["true"])
    finally:
        node.close()


class TestSsh:
    def test_a_host_that_nobody_vouches_for(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreAccessError, match=r"node-a.*host key that we do not know") as caught:
            log_in(monkeypatch, server.conn(host_key=None))
        assert "known_hosts" in caught.value.fix

    def test_unless_the_connection_says_not_to_ask(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        log_in(monkeypatch, server.conn(host_key=None, no_host_key_check=True))

    def test_another_host_key(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        other = " ".join((server.directory / "other_key.pub").read_text().split()[:2])
        with pytest.raises(StoreAccessError, match="host key that we do not know"):
            log_in(monkeypatch, server.conn(host_key=other))

    def test_a_key_that_is_not_let_in(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreAccessError, match=r"refuses to log us in") as caught:
            log_in(monkeypatch, server.conn(key_file=str(server.directory / "other_key")))
        assert "key" in caught.value.fix

    def test_a_key_that_is_not_there(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreAccessError):
            log_in(monkeypatch, server.conn(key_file=str(server.directory / "none")))

    def test_a_connection_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreAccessError, match="no Airflow connection 'none'"):
            SshNode("node-a", "127.0.0.1", SshAccess(conn_id="none")).run(["true"])

    def test_a_connection_that_makes_no_sense(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(StoreAccessError, match="cannot be used for SSH"):
            log_in(monkeypatch, server.conn(private_key="no key"))

    def test_no_server(self, server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
        port = Port()
        monkeypatch.setattr(type(server), "port", port.number)
        with pytest.raises(StoreUnreachableError, match="does not answer"):
            log_in(monkeypatch, server.conn())
        port.release()


class TestSudo:
    @pytest.fixture
    def sudo(self, servers: Servers) -> Iterator[Path]:
        path: Path = servers.get("ssh").directory / "bin" / "sudo"
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o755)
        yield path
        path.unlink()

    def test_is_asked_for_nothing(self, sudo: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        sudo.write_text('#!/bin/sh\ntest "$1 $2" = "-n --" || exit 9\nshift 2\necho "$@" > "$0.said"\nexec "$@"\n')
        log_in(monkeypatch, servers.get("ssh").conn(), sudo=True)
        assert sudo.with_suffix(".said").read_text().endswith("midtime true\n")

    @pytest.mark.parametrize("script", ["#!/bin/sh\necho sudo: a password is required >&2\nexit 1\n", None])
    def test_that_refuses(self, sudo: Path, script: str | None, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        sudo.write_text(script or "#!/none")
        with pytest.raises(StoreAccessError, match=r"node-a: sudo does not let us run commands: .*sudo") as caught:
            log_in(monkeypatch, servers.get("ssh").conn(), sudo=True)
        assert "NOPASSWD" in caught.value.fix


class TestPods:
    def opened(self, **changes: Any) -> None:
        section = {**ACCESS["pod"]["kubernetes"], **changes}
        ((node, none),) = open_nodes(Access.model_validate({"kubernetes": section}), (), "store ring")
        assert (node.label, node.host, none) == ("cassandra-0", "127.0.0.1", None)
        node.run(["true"])

    def test_are_found(self, pod: Pod) -> None:
        self.opened()

    def test_none_of_that_label(self, pod: Pod) -> None:
        with pytest.raises(StoreAccessError, match="store ring: no pod in namespace databases has the labels app=mine"):
            self.opened(selector="app=mine")

    def test_no_such_container(self, pod: Pod) -> None:
        with pytest.raises(StoreAccessError, match="cassandra-0 has no container 'mine'"):
            self.opened(container="mine")

    def test_a_token_that_may_only_look(self, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MIDTIME_PODS", pod.conn(Pod.LISTS_ONLY))
        with pytest.raises(
            StoreAccessError, match=r"does not let us run commands in pod databases/cassandra-0: .*is not for you"
        ) as caught:
            self.opened()
        assert "role-exec.yaml" in caught.value.fix

    def test_a_token_that_is_not_let_in(self, pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_MIDTIME_PODS", pod.conn("other"))
        with pytest.raises(StoreAccessError, match=r"store ring: Kubernetes .* does not let us list pods"):
            self.opened()
