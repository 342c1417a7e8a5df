"""The S3 server of the tests: moto's S3 behind an HTTP server of its own process.

S3 carries out the requests for one object one after the other, which is what makes a conditional PUT exclusive; moto asks whether
the object is there and stores it in two steps. So each request is read to its end, and then they go through one by one.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wsgi import get_input_stream

WSGI = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def one_by_one(application: WSGI) -> WSGI:
    """Whole requests, one at a time; a slow sender or reader holds up nobody."""
    turn = threading.Lock()

    def whole(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = get_input_stream(environ).read()
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        with turn:
            return [b"".join(application(environ, start_response))]

    return whole


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, as they do with S3


def main() -> None:
    make_server("127.0.0.1", int(sys.argv[1]), one_by_one(create_backend_app("s3")), threaded=True, request_handler=Handler).serve_forever()


if __name__ == "__main__":
    main()
