"""What the SDK raises, as an error that names the store: whether it passes, and what a person can do."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto

from midtime.errors import StoreAccessError, StoreError, StoreStatementError, StoreUnreachableError
from midtime.stores.aws.refusals import errors_of

aws_errors = errors_of("docs/rds.md", {})


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (boto.NoCredentialsError(), StoreAccessError, "no credentials"),
        (boto.ProfileNotFound(profile="gone"), StoreAccessError, "no credentials"),
        (boto.EndpointConnectionError(endpoint_url="https://x"), StoreUnreachableError, "no answer"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), StoreUnreachableError, "no answer"),
        (boto.ClientError({"Error": {}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "Call"), StoreUnreachableError, "no answer"),
        (boto.ClientError({"Error": {"Code": "Whatever", "Message": ""}}, "Call"), StoreStatementError, "refused"),
        (boto.ClientError({}, "Call"), StoreStatementError, "refused"),
    ],
)
def test_what_it_means(error: Exception, kind: type[StoreError], words: str) -> None:
    with pytest.raises(StoreError, match=f"store points: {words}") as caught, aws_errors("points"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.fix
