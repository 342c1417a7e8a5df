"""The handle of a double's process."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys
from types import TracebackType
from typing import Any

from midtime.errors import AdminUnreachableError, RequestError
from midtime.scalar.double.gate import Contract
from midtime.scalar.endpoint import Endpoint, TlsFiles

START_LIMIT = 30.0  # seconds
ANSWER_LIMIT = 10.0


class Double:
    """A double that runs between ``__enter__`` and ``__exit__``, or between :meth:`start` and :meth:`close`.

    :param port: of the first endpoint; 0 takes any that is free, and keeps it over :meth:`restart`
    :param count: endpoints, each with a port, a gate and a script of its own
    :param host: an IPv6 address in brackets
    :param domain: of the new contract's ErrorInfo; ``message``: of the old contract's failures
    :param tls_cert: PEM file; with ``tls_key`` the double speaks TLS, with ``client_ca`` its clients need a certificate of that authority
    """

    def __init__(
        self, *, contract: Contract = "new", host: str = "127.0.0.1", port: int = 0, count: int = 1, domain: str = "", message: str = "",
        tls_cert: str = "", tls_key: str = "", client_ca: str = "",
    ) -> None:  # fmt: skip
        options = {"--domain": domain, "--message": message, "--tls-cert": tls_cert, "--tls-key": tls_key, "--client-ca": client_ca}
        self._options = [f"{option}={value}" for option, value in options.items() if value]
        self._options += [f"--contract={contract}", f"--host={host}", f"--count={count}"]
        self.host, self.ports = host, [port]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Double:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def start(self) -> Double:
        """Start the process and wait until it listens."""
        command = [sys.executable, "-m", "midtime.scalar.double", *self._options, f"--port={self.ports[0]}"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            self.ports = self._answer(START_LIMIT)["ports"]
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """End the process, in whatever state it is."""
        self.kill()

    @property
    def pid(self) -> int:
        """Of the process that plays."""
        return self._running.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs; one that is stopped does."""
        return self._process is not None and self._process.poll() is None

    @property
    def addresses(self) -> list[str]:
        """``host:port`` of every endpoint."""
        return [f"{self.host}:{port}" for port in self.ports]

    @property
    def address(self) -> str:
        """``host:port`` of the first endpoint."""
        return self.addresses[0]

    def endpoint(self, number: int = 0, *, product: str = "ledger", kind: str = "scalardl-ledger", tls: TlsFiles | None = None) -> Endpoint:
        """What discovery would find there."""
        return Endpoint(product, kind, self.addresses[number], tls=tls)

    def control(self, **words: Any) -> dict[str, Any]:
        """Script it while it runs (``control.py`` has the words). ``for`` is a keyword of Python: ``**{"for": 1.5}``.

        :raises RequestError: it does not know the words
        :raises AdminUnreachableError: it is not running, or stopped
        """
        process = self._running
        assert process.stdin is not None  # noqa: S101
        try:
            process.stdin.write(json.dumps(words).encode() + b"\n")
            process.stdin.flush()
        except OSError as error:
            raise self._gone(str(error)) from None
        return self._answer(ANSWER_LIMIT)

    def calls(self, rpc: str | None = None) -> list[dict[str, Any]]:
        """What it was asked, oldest first: the fields of :class:`midtime.scalar.double.script.Call`."""
        return [call for call in self.control(log=True)["calls"] if rpc in (None, call["rpc"])]

    @property
    def paused(self) -> bool:
        """Whether the gate of any of its endpoints is closed in truth, whatever CheckPaused says."""
        return any(self.control(state=True)["paused"])

    def kill(self) -> None:
        """As kill -9 does."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def restart(self) -> Double:
        """Kill it and start it anew on the same ports: its gates are open then, its script is empty."""
        self.kill()
        return self.start()

    def stop_process(self) -> None:
        """SIGSTOP: it accepts connections and answers nothing until :meth:`resume`."""
        self._running.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._running.send_signal(signal.SIGCONT)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            raise self._gone("it does not run")
        return self._process

    def _answer(self, limit: float) -> dict[str, Any]:
        process = self._running
        assert process.stdout is not None  # noqa: S101
        if not select.select([process.stdout], [], [], limit)[0]:
            raise self._gone(f"it said nothing for {limit:g} s")
        line = process.stdout.readline()
        if not line:
            raise self._gone(f"it ended with exit status {process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise RequestError(f"the double at {self.address} refused: {answer['error']}")
        return answer

    def _gone(self, why: str) -> AdminUnreachableError:
        return AdminUnreachableError(f"the double at {self.address} does not answer: {why}", fix="start it first")
