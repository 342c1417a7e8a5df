"""A server that speaks the S3 protocol, and what an Airflow connection to it looks like."""

from __future__ import annotations

import json
import os
import sys
from functools import cached_property
from typing import Any

from tests.stack.processes import Port, Process, Processes


class S3:
    """One server with one bucket; what is in it is gone with the server."""

    CONN_ID = "midtime_s3"
    BUCKET = "midtime-backups"
    SCHEME = "s3"
    KEY, SECRET, REGION = "midtime", "midtime-secret", "eu-central-1"

    def __init__(self, processes: Processes, name: str = "s3") -> None:
        self.name, self._processes, self._reserved = name, processes, Port()
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._reserved.number}"

    def start(self) -> S3:
        command = [sys.executable, "-m", "tests.stack.s3_server", str(self._reserved.number)]
        self._process = self._processes.start(self.name, command, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self._process.wait_ready(self._answers, timeout=60)
        self.client.create_bucket(Bucket=self.BUCKET, CreateBucketConfiguration={"LocationConstraint": self.REGION})
        return self

    def close(self) -> None:
        if self._process:
            self._process.stop()
        self._reserved.release()

    def conn(self, url: str = "", **extra: Any) -> str:
        """An Airflow connection as JSON, for ``AIRFLOW_CONN_…`` and for ``add_connection``.

        :param url: of a proxy in front of the server
        :param extra: more keys of the connection's ``extra``
        """
        extras = {"endpoint_url": url or self.url, "region_name": self.REGION, **extra}
        return json.dumps({"conn_type": "aws", "login": self.KEY, "password": self.SECRET, "extra": extras})

    def destination(self, prefix: str = "", conn_id: str = CONN_ID, bucket: str = BUCKET) -> str:
        """What a topology says."""
        return f"s3://{conn_id}@{bucket}/{prefix}".rstrip("/")

    def refusal(self, status: int, code: str, detail: str = "") -> bytes:
        """An answer as S3 words it."""
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}, as a test wants it</Message>{detail}</Error>'
        head = f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        return (head + body).encode()

    @cached_property
    def client(self) -> Any:
        """To look, and to meddle, without Midtime."""
        import boto3

        return boto3.client(
            "s3", endpoint_url=self.url, region_name=self.REGION, aws_access_key_id=self.KEY, aws_secret_access_key=self.SECRET
        )

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.BUCKET, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def unfinished(self, prefix: str = "") -> list[str]:
        """Names of uploads that have parts and were neither completed nor aborted."""
        found = self.client.list_multipart_uploads(Bucket=self.BUCKET, Prefix=prefix).get("Uploads", [])
        return [each["Key"] for each in found]

    def put(self, key: str, content: bytes = b"") -> None:
        self.client.put_object(Bucket=self.BUCKET, Key=key, Body=content)

    def _answers(self) -> bool:
        return bool(self.client.list_buckets()["ResponseMetadata"])
