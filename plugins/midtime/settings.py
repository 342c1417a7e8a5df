"""Where things are when nobody says otherwise."""

from __future__ import annotations

from pathlib import Path

DEFAULT_TOPOLOGIES = Path(__file__).resolve().parents[2] / "include" / "topologies"
"""Beside ``plugins``, as in an Astro project; ``MIDTIME_TOPOLOGIES`` names another folder."""
