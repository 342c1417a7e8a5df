"""An Airflow connection in the driver's words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Connection
from mysql.connector import Error

from midtime.errors import StoreAccessError, StoreStatementError, StoreUnreachableError
from midtime.stores.mysql.connections import _for_the_driver, store_error


@pytest.mark.parametrize(
    ("extra", "wanted"),
    [
        ({}, {}),
        ({"ssl": {"ca": "/ca"}}, {"ssl_ca": "/ca", "ssl_verify_cert": True}),
        (
            {"ssl": '{"ca": "/ca", "cert": "/c", "key": "/k"}'},
            {"ssl_ca": "/ca", "ssl_cert": "/c", "ssl_key": "/k", "ssl_verify_cert": True},
        ),
        ({"ssl_ca": "/ca", "ssl_verify_cert": "false"}, {"ssl_ca": "/ca", "ssl_verify_cert": False}),
        ({"ssl_ca": "/ca", "ssl_verify_identity": "true"}, {"ssl_ca": "/ca", "ssl_verify_cert": True, "ssl_verify_identity": True}),
        ({"ssl_mode": "VERIFY_IDENTITY"}, {"ssl_verify_identity": True}),
        ({"ssl_mode": "verify_ca"}, {"ssl_verify_cert": True}),
        ({"ssl_mode": "DISABLED"}, {"ssl_disabled": True}),
        ({"ssl_mode": "PREFERRED"}, {}),
        ({"ssl_disabled": "false"}, {"ssl_disabled": False}),
        ({"client": "mysqlclient", "charset": "utf8"}, {"charset": "utf8"}),
    ],
)
def test_extras(extra: dict[str, Any], wanted: dict[str, Any]) -> None:
    connection = Connection(conn_id="c", conn_type="mysql", host="h", schema="lost", login="u", password="p", extra=json.dumps(extra))
    changed = _for_the_driver(connection)
    assert changed.extra_dejson == {**wanted, "client": "mysql-connector-python"}
    assert changed.schema is None
    assert connection.schema == "lost"


@pytest.mark.parametrize(
    ("errno", "kind"),
    [
        (1045, StoreAccessError),
        (1227, StoreAccessError),
        (2003, StoreUnreachableError),
        (2013, StoreUnreachableError),
        (1064, StoreStatementError),
    ],
)
def test_what_the_driver_raises(errno: int, kind: type[Exception]) -> None:
    error = store_error("h:1", "c", Error(msg="said", errno=errno))
    assert isinstance(error, kind)
    assert "said" in str(error)
