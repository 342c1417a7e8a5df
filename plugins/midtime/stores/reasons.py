"""What a service's refusal means, whatever its words are: which error of ours, and what a person can do."""

from __future__ import annotations

from dataclasses import dataclass

from midtime.errors import StoreError, StoreStatementError, StoreUnreachableError


@dataclass(frozen=True, slots=True)
class Reason:
    """One kind of refusal."""

    kind: type[StoreError]
    what: str
    fix: str

    def error(self, store: str, said: object) -> StoreError:
        """With the service's own words."""
        return self.kind(f"store {store}: {self.what} ({said})", fix=self.fix)


AWAY = Reason(StoreUnreachableError, "no answer", "see whether the service is up and reachable from the worker")
OTHER = Reason(StoreStatementError, "refused", "see the service's message")
