"""SSH servers on loopback, with a host key and one user's key: asyncssh's, and OpenSSH's where it can be had."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.stack import cache
from tests.stack.processes import Port, Process, Processes, StackError

PACKAGES = ("openssh-server", "libwrap0")
CONFIGURATION = """
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile none
StrictModes no
UsePAM no
"""


class Sshd:
    """One server; whoever has ``key_file`` is let in as the user who runs the tests."""

    CONN_ID = "midtime_ssh"

    def __init__(self, processes: Processes, name: str = "sshd") -> None:
        self.name, self._processes, self._reserved = name, processes, Port()
        self.directory = processes.directory / name
        self._process: Process | None = None

    @property
    def port(self) -> int:
        return self._reserved.number

    @property
    def key_file(self) -> Path:
        return self.directory / "key"

    @property
    def host_key(self) -> str:
        """As an Airflow connection's extra names it."""
        return " ".join((self.directory / "host_key.pub").read_text().split()[:2])

    def start(self) -> None:
        self.directory.mkdir(exist_ok=True)
        for name in ("host_key", "key", "other_key"):
            if not (self.directory / name).exists():
                _make_key(self.directory / name)
        shutil.copy(self.directory / "key.pub", self.directory / "authorized_keys")
        self._process = self._started()
        self._process.wait_ready(self._answers, timeout=30)

    def _started(self) -> Process:
        arguments = [str(self.port), self.directory / "host_key", self.directory / "authorized_keys"]
        environment = {**os.environ, "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}  # where tests put a sudo of theirs
        return self._processes.start(self.name, [sys.executable, "-m", "tests.stack.sshd_server", *arguments], env=environment)

    def _answers(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"

    def conn(self, **extra: Any) -> str:
        """The Airflow connection, with its host key pinned; further extras win."""
        known = {"key_file": str(self.key_file), "host_key": self.host_key, "look_for_keys": False}
        chosen = {key: value for key, value in {**known, **extra}.items() if value is not None}
        return json.dumps({"conn_type": "ssh", "login": getpass.getuser(), "port": self.port, "extra": json.dumps(chosen)})

    def kill(self) -> None:
        """SIGKILL to it and to every connection's process."""
        assert self._process
        self._process.kill()
        self._processes.forget(self._process)

    def stop(self) -> None:
        if self._process and self._process.alive:
            self._process.stop()


class OpenSsh(Sshd):
    """OpenSSH's own."""

    def _started(self) -> Process:
        self._reserved.release()  # it does not share a port
        (self.directory / "sshd_config").write_text(CONFIGURATION.format(port=self.port, directory=self.directory))
        program, libraries = openssh()
        command = [str(program), "-D", "-e", "-f", str(self.directory / "sshd_config")]
        environment = {**os.environ, **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})}
        return self._processes.start(self.name, self._as_root(command) if os.getuid() == 0 else command, env=environment)

    def _as_root(self, command: list[str]) -> list[str]:
        # As root it wants a user "sshd" and a folder /run/sshd: it gets both, in a world of its own.
        passwd = self.directory / "passwd"
        passwd.write_text(f"{Path('/etc/passwd').read_text()}sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n")
        script = 'mount --bind "$1" /etc/passwd; mount -t tmpfs none /run; mkdir /run/sshd; shift; exec "$@"'
        return ["unshare", "--mount", "sh", "-euc", script, "sh", str(passwd), *command]


def openssh() -> tuple[Path, Path | None]:
    """The server's program, the machine's or from Debian's package; and the folder of its libraries."""
    installed = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if installed:
        return Path(installed), None
    root = cache.entry("openssh-debian", _download)
    return root / "usr/sbin/sshd", next(root.rglob("libwrap.so.0")).parent


def _download(directory: Path) -> None:
    for package in PACKAGES:
        subprocess.run(["apt-get", "download", "-q", package], cwd=directory, check=True, capture_output=True)
    for package in directory.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, directory], check=True, capture_output=True)


def openssh_is_to_be_had() -> bool:
    try:
        program, libraries = openssh()
    except (OSError, subprocess.SubprocessError, StackError):
        return False
    if os.getuid() == 0 and subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return False
    environment = {**os.environ, **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})}
    return b"OpenSSH" in subprocess.run([program, "-V"], env=environment, capture_output=True).stderr


def _make_key(path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    encoding = serialization.Encoding
    path.write_bytes(key.private_bytes(encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()))
    path.chmod(0o600)
    public = key.public_key().public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    path.with_suffix(".pub").write_bytes(public + b" midtime\n")
