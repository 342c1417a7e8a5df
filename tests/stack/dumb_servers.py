"""Servers that refuse: just enough of Oracle's and SQL Server's protocols for the real drivers to say why, in their own exceptions."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Talk = Callable[[socket.socket], None]


@contextmanager
def serving(talk: Talk) -> Iterator[int]:
    """A port of this machine where every connection is talked to like that."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, suppress(OSError):
                        client.settimeout(5)
                        talk(client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def listener_refuses(code: int) -> Talk:
    """Oracle's listener, to a CONNECT: a REFUSE with a number of its own."""

    def talk(client: socket.socket) -> None:
        client.recv(8192)
        words = f"(DESCRIPTION=(TMP=)(VSNNUM=0)(ERR={code})(ERROR_STACK=(ERROR=(CODE={code})(EMFI=4))))".encode()
        body = struct.pack(">BBH", 0, 0, len(words)) + words
        client.sendall(struct.pack(">HHBBH", len(body) + 8, 0, 4, 0, 0) + body)
        client.recv(1)

    return talk


def hangs_up(client: socket.socket) -> None:
    client.recv(64)


ENCRYPT_NOT_SUPPORTED = 2


def login_refused(number: int, words: str) -> Talk:
    """SQL Server without encryption, to a login: an ERROR, and goodbye."""

    def talk(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(_packet(_prelogin()))
        client.recv(8192)
        text, name = words.encode("utf-16-le"), "here".encode("utf-16-le")
        body = (
            struct.pack("<iBB", number, 1, 14)
            + struct.pack("<H", len(words))
            + text
            + struct.pack("<B", 4)
            + name
            + b"\0"
            + struct.pack("<i", 1)
        )
        done = b"\xfd" + struct.pack("<HHQ", 2, 0, 0)
        client.sendall(_packet(b"\xaa" + struct.pack("<H", len(body)) + body + done))
        client.recv(1)

    return talk


def falls_silent(at: str, outlasted: list[str]) -> Talk:
    """SQL Server without encryption: lets everybody in, and says that all is done, until it is asked something with these words in it.

    :param outlasted: gets them if the other side does not hang up within 20 s
    """

    def talk(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(_packet(_prelogin()))
        client.recv(8192)
        name = "Microsoft SQL Server".encode("utf-16-le")
        body = b"\x01\x74\0\0\x04" + bytes([len(name) // 2]) + name + b"\x10\0\x10\x45"
        done = b"\xfd" + struct.pack("<HHQ", 0, 0, 0)
        client.sendall(_packet(b"\xad" + struct.pack("<H", len(body)) + body + done))
        while (asked := client.recv(8192)) and at.encode("utf-16-le") not in asked:
            client.sendall(_packet(done))
        client.settimeout(20)
        try:
            while client.recv(8192):
                pass
        except TimeoutError:
            outlasted.append(at)

    return talk


def _prelogin() -> bytes:
    """Options: version, and that nothing is encrypted."""
    values = [b"\x10\0\x10\x45\0\0", bytes([ENCRYPT_NOT_SUPPORTED])]
    start, table = 5 * len(values) + 1, b""
    for token, value in enumerate(values):
        table += struct.pack(">BHH", token, start, len(value))
        start += len(value)
    return table + b"\xff" + b"".join(values)


def _packet(body: bytes) -> bytes:
    return struct.pack(">BBHHBB", 4, 1, len(body) + 8, 0, 1, 0) + body
