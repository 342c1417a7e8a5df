"""A notifier as a user's topology names one: it writes down whom it was called for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.sdk import BaseNotifier


class FileNotifier(BaseNotifier):
    """Append the failed run to a file."""

    template_fields = ("path",)

    def __init__(self, *, path: str) -> None:
        super().__init__()
        self.path = path

    def notify(self, context: Any) -> None:
        with Path(self.path).open("a") as file:
            file.write(f"{context['dag'].dag_id} {context['run_id']}\n")
