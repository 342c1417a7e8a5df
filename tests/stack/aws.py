"""A double of one of Amazon's services, and what an Airflow connection to it looks like."""

from __future__ import annotations

import json
from typing import Any

from tests.stack.cloud import CloudDouble


class AwsDouble(CloudDouble):
    """One account, in one region."""

    #: by which Amazon's SDK knows it
    SERVICE: str
    REGION: str
    KEY, SECRET = "midtime", "midtime-secret"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def conn(self, url: str = "", **extra: Any) -> str:
        """An Airflow connection as JSON, for ``AIRFLOW_CONN_…`` and for ``add_connection``.

        :param url: of a proxy in front of the server
        :param extra: more keys of the connection's ``extra``
        """
        extras = {"endpoint_url": url or self.url, "region_name": self.REGION, **extra}
        return json.dumps({"conn_type": "aws", "login": self.KEY, "password": self.SECRET, "extra": extras})

    def sdk(self, service: str = "", **config: Any) -> Any:
        """To look, and to meddle, without Midtime; it does not try anything twice."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service or self.SERVICE, endpoint_url=self.url, region_name=self.REGION, aws_access_key_id=self.KEY,
            aws_secret_access_key=self.SECRET,
            config=Config(**{"retries": {"total_max_attempts": 1}, "max_pool_connections": 64, **config}),
        )  # fmt: skip
