"""What of long series of tests runs every day; with the long proofs all of it."""

from __future__ import annotations

import pytest

EACH = pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.long)])
"""Every third call at which a process can be left."""
ON_DISK = pytest.mark.parametrize("any_catalog", ["file", pytest.param("memory", marks=pytest.mark.long)], indirect=True)
"""The catalog on disk: the same in memory takes three times as long."""
