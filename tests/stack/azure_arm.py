"""Azure's sign-in and Resource Manager (ARM) over HTTPS on loopback, and how an Airflow connection reaches them.

Azure's SDKs refuse to send tokens over plain HTTP, and Airflow's hook takes no other sign-in than Azure's own: ``AzureBaseHook`` gives
``ClientSecretCredential`` the public cloud's authority, and ``DefaultAzureCredential`` nothing at all. So the double *is* Azure under its
real names: it is an HTTPS proxy on a loopback port that answers, with certificates of an authority of its own, for
``login.microsoftonline.com``, ``management.azure.com`` and, for Cosmos DB, ``*.documents.azure.com``; for any other name it refuses (502).
The code under test needs no key, no patch and no other branch than in production; only the environment of its process says where the proxy
is and whom to trust::

    for name, value in stack.cosmosdb.environment().items():     # HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE, SSL_CERT_FILE, IDENTITY_*
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AIRFLOW_CONN_BANK_DB", stack.cosmosdb.conn())

    credential = AzureBaseHook(conn_id="bank_db").get_credential()       # a ClientSecretCredential: "use_azure_identity_object" is set
    client = CosmosDBManagementClient(credential, subscription_id)       # the default base_url; polls as ``retry_after`` of the settings says

- ``conn()``: type ``azure``, login and password (client id and secret), ``tenantId``, ``subscriptionId``, ``use_azure_identity_object``
- ``conn_identity()``: the same without login and password: ``DefaultAzureCredential`` finds a managed identity (``IDENTITY_ENDPOINT``)
- ``url``: ``https://127.0.0.1:<port>`` answers as ``management.azure.com`` does, for a topology's ``endpoint``; tokens for the public
  cloud's scope are good there too, and the links of operations lead back to where the request came from
- a real Airflow: ``Stack(..., env={**stack.cosmosdb.environment()})``; upper case only, so that gRPC does not ask the proxy

Everything runs by the clock of the world (``settings(stopped_at=…, clock_offset=…)``): ``Date`` headers, creation times, how long an operation
takes. Tokens alone live by the machine's, as they do in the clients' caches; a fault of the kind ``expired`` ends them.

Faults are queued per operation, named as Azure's REST reference names them (``DatabaseAccounts_CreateOrUpdate``; ``Operations_Get`` is a look
at a running operation, ``Token`` the sign-in), or for ``control``, ``data``, ``*``:

==============  =========================================================================================================
``throttling``  429 with ``Retry-After`` (ARM), or with ``x-ms-retry-after-ms`` (Cosmos DB's data); the settings' ``retry_after``
``error``       500; ``unavailable``: 503; ``timeout``: 504
``denied``      403, as of a role that lacks the action; ``expired``: 401, as of a token that has ended
``conflict``    409; ``exclusive``: 412, another operation holds the lock
``failed``      the call is accepted and its operation ends as ``Failed``, the resource's state too
``drop``, ``hang``, ``slow``, and ``after``: as everywhere (``cloud_world.Fault``)
==============  =========================================================================================================
"""

from __future__ import annotations

import json
import shutil
from functools import cached_property
from pathlib import Path
from typing import Any

import certifi

from tests.stack.cloud import CloudDouble
from tests.stack.processes import Processes
from tests.stack.tls import Authority

#: for which names the certificate is good
NAMES = ("127.0.0.1", "login.microsoftonline.com", "management.azure.com")


class Azure(CloudDouble):
    """One tenant with one subscription, which has one resource group."""

    TENANT = "8a1f6c1e-0d0f-4d2b-9a55-0c1f4b7f9b10"
    SUBSCRIPTION = "2f6a9f37-63f8-4a8e-b1f5-6c3b2c0d7a21"
    GROUP = "midtime"
    CLIENT, SECRET = "0d6c1d5a-9b1e-4c3a-8a5e-77f1f0f6c0aa", "midtime-client-secret"
    #: other names under which the double answers
    MORE_NAMES: tuple[str, ...] = ()

    def __init__(self, processes: Processes, name: str, **settings: Any) -> None:
        super().__init__(processes, name, **settings)
        self.directory = processes.directory / name

    @property
    def url(self) -> str:
        """Of ARM, without a proxy."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def authority(self) -> str:
        """The file of whom to trust, beside all that is trusted anyway."""
        return str(self.directory / "trusted.pem")

    @property
    def own_authority(self) -> str:
        """The file of the double's alone."""
        return str(self.directory / "ca.pem")

    def arguments(self) -> list[str]:
        self.directory.mkdir()
        authority = Authority(self.directory)
        Path(self.authority).write_bytes(Path(certifi.where()).read_bytes() + Path(authority.ca).read_bytes())
        return list(authority.issue("azure", *NAMES, *self.MORE_NAMES))

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # for those who use it

    def environment(self) -> dict[str, str]:
        """Of every process that is to take the double for Azure."""
        return {
            "HTTPS_PROXY": self.proxy,
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": self.authority,
            "SSL_CERT_FILE": self.authority,
            "IDENTITY_ENDPOINT": f"{self.proxy}/msi/token",
            "IDENTITY_HEADER": self.SECRET,
        }

    def conn(self, *, secret: str = SECRET, **extra: Any) -> str:
        """An Airflow connection as JSON, for ``AIRFLOW_CONN_…`` and for ``add_connection``.

        :param extra: more keys of the connection's ``extra``
        """
        extras = {"tenantId": self.TENANT, "subscriptionId": self.SUBSCRIPTION, "use_azure_identity_object": True, **extra}
        return json.dumps({"conn_type": "azure", "login": self.CLIENT, "password": secret, "extra": extras})

    def conn_identity(self, **extra: Any) -> str:
        """The same for a managed identity."""
        extras = {"subscriptionId": self.SUBSCRIPTION, "use_azure_identity_object": True, **extra}
        return json.dumps({"conn_type": "azure", "extra": extras})

    @cached_property
    def transport(self) -> dict[str, Any]:
        """Keyword arguments of any client of Azure's SDK: as ``environment``, for one client alone."""
        return {"proxies": {"https": self.proxy}, "connection_verify": self.authority}

    def credential(self, secret: str = SECRET) -> Any:
        """To look, and to meddle, without Midtime."""
        from azure.identity import ClientSecretCredential

        return ClientSecretCredential(self.TENANT, self.CLIENT, secret, **self.transport)
