"""What lies at the destination is the capture that the window proved."""

from __future__ import annotations

import pytest

from midtime.errors import WindowVoidError
from midtime.proof import require_parts
from tests.unit.builders import part


def test_parts_of_these_captures() -> None:
    parts = [part("accounts", details={"capture": "a"}), part("points", details={"capture": "b"})]
    captures = [{"store": "accounts", "capture": "a"}, {"store": "points", "capture": "b"}]
    require_parts(parts, captures)
    with pytest.raises(WindowVoidError, match="points: another try"):
        require_parts([parts[0], part("points", details={"capture": "c"})], captures)
