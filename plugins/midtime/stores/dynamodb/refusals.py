"""What DynamoDB means by a refusal."""

from __future__ import annotations

from midtime.errors import StoreAccessError
from midtime.stores.aws.refusals import code_of, errors_of
from midtime.stores.reasons import Reason

__all__ = ["NOT_THERE", "aws_errors", "code_of"]

NOT_THERE = frozenset({"ResourceNotFoundException", "TableNotFoundException"})
_MISSING = Reason(StoreAccessError, "not there", "correct the store's region, prefix and namespaces, and its connection's account")
aws_errors = errors_of("docs/dynamodb.md", {_MISSING: " ".join(NOT_THERE)})
