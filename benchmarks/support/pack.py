"""Standard input to standard output through the compressor that Midtime uses: what a bare dump is piped to."""

from __future__ import annotations

import sys

from midtime.stores import compression

packer = compression.compressor(*compression.choose(sys.argv[1]))
while chunk := sys.stdin.buffer.raw.read(compression.CHUNK):  # type: ignore[attr-defined]
    sys.stdout.buffer.write(packer.compress(chunk))
sys.stdout.buffer.write(packer.flush())
