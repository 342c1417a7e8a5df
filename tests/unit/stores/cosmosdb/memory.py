"""A subscription that is a dictionary: every call is counted, its clock stands still between two looks, and it can be left at any call."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.rest import HttpRequest

START = datetime(2026, 11, 21, 2, 0, 0, tzinfo=UTC)
SUBSCRIPTION, GROUP, REGION, LIVE = "2f6a9f37-63f8-4a8e-b1f5-6c3b2c0d7a21", "bank", "Japan East", "bank-prod"
KEY = "c2VjcmV0LWtleQ=="
CALLS = ("database_accounts", "restorable_database_accounts", "restorable_sql_resources", "sql_resources")
CLOSED = {
    "publicNetworkAccess": "Enabled", "ipRules": [{"ipAddressOrRange": "10.1.2.3"}], "isVirtualNetworkFilterEnabled": False, "virtualNetworkRules": [],
    "networkAclBypass": "None", "networkAclBypassResourceIds": [],
}  # fmt: skip
OPEN = {**CLOSED, "ipRules": []}
PROCEDURE = {"mutate.js": "function mutate(a) { return a; }"}


class LeftError(BaseException):
    """The process is gone."""


class Response:
    """As little of an HTTP answer as errors need."""

    def __init__(self, status_code: int, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        self.status_code, self.reason, self.body, self.headers = status_code, "", body, dict(headers or {})
        self.content = b"{}" if body is not None else b""

    def json(self) -> Any:
        return self.body

    def raise_for_status(self) -> None:
        if self.status_code >= 400:
            raise refusal(self.status_code, str(self.body))


def refusal(status: int, message: str = "no", code: str = "") -> HttpResponseError:
    error = ResourceNotFoundError(message) if status == 404 else HttpResponseError(message)
    error.status_code = status
    if code:
        error.error = SimpleNamespace(code=code, message=message)  # type: ignore[assignment]
    return error


@dataclass
class Container:
    rid: str
    resource: dict[str, Any]
    throughput: dict[str, Any] | None = None
    scripts: dict[str, dict[str, Any]] = field(default_factory=lambda: {"procedures": {}, "triggers": {}, "functions": {}})
    indexed: int = 100


@dataclass
class Account:
    name: str
    instance: str
    properties: dict[str, Any]
    tags: dict[str, str]
    made: float
    databases: dict[str, dict[str, Container]] = field(default_factory=dict)
    throughputs: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    state: str = "Succeeded"
    gone_at: float | None = None
    assignments: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Running:
    ends_at: float
    work: Callable[[], Any]
    failed: str = ""
    over: bool = False


class Memory:
    """The subscription."""

    def __init__(self, seconds: float = 40.0) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.accounts: dict[str, Account] = {}
        self.gone: list[Account] = []
        self.taken: set[str] = set()
        self.operations: dict[str, Running] = {}
        self.counts: Counter[str] = Counter()
        self.log: list[str] = []
        self.leave_at: int | None = None
        self.answer_lost = False
        """Left when a call has taken effect, before whoever made it has noted that."""
        self.before_each: Callable[[str], None] = lambda operation: None
        self.failing: dict[str, str] = {}
        self.allowed: list[dict[str, Any]] | None = [{"actions": ["*"], "notActions": []}]
        self._ids = itertools.count(1)

    # for tests

    def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.001)

    def moment(self, at: float) -> datetime:
        return START + timedelta(seconds=at)

    def make(self, name: str, databases: Mapping[str, Mapping[str, Container]], **properties: Any) -> Account:
        wanted = {
            "consistencyPolicy": {"defaultConsistencyLevel": "Strong"}, "backupPolicy": {"type": "Continuous"}, **CLOSED,
            "locations": [{"locationName": REGION, "failoverPriority": 0}], "createMode": "Default", **properties,
        }  # fmt: skip
        made = Account(
            name, f"instance-{next(self._ids)}", wanted, {"team": "bank"}, self.now, {of: dict(each) for of, each in databases.items()}
        )
        made.throughputs = dict.fromkeys(databases)
        self.accounts[name] = made
        return made

    def delete(self, name: str) -> None:
        gone = self.accounts.pop(name)
        gone.gone_at = self.now
        self.gone.append(gone)

    @property
    def left(self) -> bool:
        return self.leave_at is not None and self.counts.total() >= self.leave_at

    @property
    def arm(self) -> Any:
        """What ``Azure.arm`` answers with."""

        def group() -> Any:
            memory = self

            class Calls:
                def __getattr__(self, name: str) -> Any:
                    return lambda *said, **asked: memory.call(name, said, asked)

            return Calls()

        return SimpleNamespace(**{name: group() for name in CALLS}, send_request=lambda request: self.call("send_request", (request,), {}))

    def call(self, operation: str, said: tuple[Any, ...], asked: Mapping[str, Any]) -> Any:
        if self.left:
            raise LeftError(operation)
        self.counts[operation] += 1
        self._sweep()
        self.log.append(f"{operation} {said[1] if len(said) > 1 else ''}")
        self.before_each(operation)
        answer = getattr(self, operation)(*said, **asked)
        if self.answer_lost and self.left:
            raise LeftError(operation)
        return answer

    # operations

    def _sweep(self) -> None:
        for running in self.operations.values():
            if not running.over and running.ends_at <= self.now:
                running.over = True
                running.work()

    def _begin(
        self, operation: str, seconds: float, work: Callable[[], Any], asked: Mapping[str, Any], undo: Callable[[], Any] = lambda: None
    ) -> None:
        number, failed = f"op-{next(self._ids)}", self.failing.pop(operation, "")
        self.operations[number] = Running(self.now + seconds, undo if failed else work, failed)
        link = {"Azure-AsyncOperation": f"https://management.azure.com/operationsStatus/{number}?api-version=1"}
        asked["raw_response_hook"](SimpleNamespace(http_response=Response(200, headers=link)))

    def send_request(self, request: HttpRequest) -> Any:
        if "permissions" in request.url:
            return Response(200, {"value": self.allowed}) if self.allowed is not None else Response(403, "no")
        number = urlsplit(request.url).path.rpartition("/")[2]
        if not (running := self.operations.get(number)):
            return Response(404)
        if not running.over:
            return Response(200, {"status": "Dequeued"})
        failed = {"status": "Failed", "error": {"code": "InternalServerError", "message": running.failed}}
        return Response(200, failed if running.failed else {"status": "Succeeded"})

    # accounts

    def _account(self, name: str) -> Account:
        if name not in self.accounts:
            raise refusal(404, f"{name} was not found", "ResourceNotFound")
        return self.accounts[name]

    def _settled(self, name: str) -> Account:
        if (account := self._account(name)).state not in ("Succeeded", "Failed"):
            raise refusal(412, "another operation is in progress", "PreconditionFailed")
        return account

    def _described(self, account: Account) -> Any:
        places = [{**each, "documentEndpoint": f"https://{account.name}.example"} for each in account.properties["locations"]]
        body = {
            "id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.DocumentDB/databaseAccounts/{account.name}",
            "name": account.name, "location": account.properties["locations"][0]["locationName"], "kind": "GlobalDocumentDB", "tags": dict(account.tags),
            "properties": {
                **copy.deepcopy(account.properties), "provisioningState": account.state, "instanceId": account.instance, "writeLocations": places,
                "documentEndpoint": f"https://{account.name}.example",
            },
        }  # fmt: skip
        return SimpleNamespace(
            as_dict=lambda: body, name=account.name, document_endpoint=body["properties"]["documentEndpoint"], locations=[]
        )

    def get(self, _group: str, name: str) -> Any:
        return self._described(self._account(name))

    def check_name_exists(self, name: str) -> bool:
        return name in self.accounts or name in self.taken

    def list_keys(self, _group: str, name: str) -> Any:
        self._account(name)
        return SimpleNamespace(primary_master_key=KEY)

    def begin_create_or_update(self, _group: str, name: str, body: Any, **asked: Any) -> None:
        if name in self.accounts:
            raise refusal(412, "exists", "PreconditionFailed")
        wanted = body.as_dict()
        parameters = wanted["properties"]["restoreParameters"]
        source = next(each for each in [*self.accounts.values(), *self.gone] if parameters["restoreSource"].endswith(each.instance))
        made = Account(
            name, f"instance-{next(self._ids)}", {**OPEN, **wanted["properties"]}, dict(wanted["tags"]), self.now, state="Creating"
        )
        made.properties |= {"consistencyPolicy": {"defaultConsistencyLevel": "Session"}, "backupPolicy": source.properties["backupPolicy"]}
        self.accounts[name] = made

        def work() -> None:
            made.state = "Succeeded"
            for chosen in parameters["databasesToRestore"]:
                of = chosen["databaseName"]
                made.databases[of] = {each: self._restored(source.databases[of][each], parameters) for each in chosen["collectionNames"]}
                made.throughputs[of] = {"throughput": 400} if source.throughputs[of] else None

        self._begin("begin_create_or_update", self.seconds, work, asked, undo=lambda: setattr(made, "state", "Failed"))

    def _restored(self, container: Container, parameters: Mapping[str, Any]) -> Container:
        off = "defaultTtl" if parameters["restoreWithTtlDisabled"] else ""
        resource = {key: value for key, value in copy.deepcopy(container.resource).items() if key != off}
        throughput = {"throughput": 400} if container.throughput else None
        return Container(f"rid-{next(self._ids)}", resource, throughput)

    def begin_update(self, _group: str, name: str, body: Any, **asked: Any) -> None:
        account, wanted = self._settled(name), body.as_dict()
        account.state = "Updating"

        def work() -> None:
            account.state = "Succeeded"
            account.properties |= wanted.get("properties", {})
            account.tags = dict(wanted["tags"]) if wanted.get("tags") is not None else account.tags

        self._begin("begin_update", 10, work, asked, undo=lambda: setattr(account, "state", "Succeeded"))

    def begin_delete(self, _group: str, name: str, **asked: Any) -> None:
        self._settled(name).state = "Deleting"
        self._begin("begin_delete", 20, lambda: self.delete(name), asked)

    # what can be restored

    def list(self, *said: Any, **asked: Any) -> Any:
        """Accounts, restorable accounts, and what was in one, by what is asked."""
        if asked:
            return [
                SimpleNamespace(database_name=name, collection_names=list(containers))
                for name, containers in self._kept(said[1]).databases.items()
            ]
        return [self._restorable(each) for each in [*self.accounts.values(), *self.gone]]

    def _kept(self, instance: str) -> Account:
        return next(each for each in [*self.accounts.values(), *self.gone] if each.instance == instance)

    def _restorable(self, account: Account) -> Any:
        ended = self.moment(account.gone_at) if account.gone_at is not None else None
        place = SimpleNamespace(location_name=REGION, creation_time=self.moment(account.made), deletion_time=ended)
        said = SimpleNamespace(
            oldest_restorable_time=self.moment(account.made),
            creation_time=self.moment(account.made),
            deletion_time=ended,
            restorable_locations=[place],
        )
        path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DocumentDB/locations/japaneast/restorableDatabaseAccounts/{account.instance}"
        return SimpleNamespace(name=account.instance, id=path, properties=said, **self._listed(account))

    def _listed(self, account: Account) -> dict[str, Any]:
        return {"as_dict": lambda: self._described(account).as_dict()}

    def begin_retrieve_continuous_backup_information(self, *_: Any) -> Any:
        said = SimpleNamespace(latest_restorable_timestamp=self.moment(self.now - 100).strftime("%m/%d/%Y %I:%M:%S %p"))
        return SimpleNamespace(wait=lambda _: None, done=lambda: True, result=lambda: SimpleNamespace(continuous_backup_information=said))

    # containers

    def _database(self, account: str, name: str) -> dict[str, Container]:
        if name not in (found := self._account(account).databases):
            raise refusal(404, f"{name} was not found", "NotFound")
        return found[name]

    def _container(self, account: str, database: str, name: str) -> Container:
        return self._database(account, database)[name]

    def get_sql_database(self, _group: str, account: str, name: str) -> Any:
        self._database(account, name)
        return _resource({"id": name, "_rid": f"rid-{account}-{name}"})

    def list_sql_containers(self, _group: str, account: str, database: str) -> Any:
        found = self._database(account, database)
        return [_resource({"id": name, "_rid": each.rid, "_ts": START.timestamp() - 9e5, **each.resource}) for name, each in found.items()]

    def get_sql_database_throughput(self, _group: str, account: str, name: str) -> Any:
        return _throughput(self._account(account).throughputs.get(name))

    def get_sql_container_throughput(self, _group: str, account: str, database: str, name: str) -> Any:
        return _throughput(self._container(account, database, name).throughput)

    def list_sql_stored_procedures(self, _group: str, *where: str) -> Any:
        return self._scripts("procedures", where)

    def list_sql_triggers(self, _group: str, *where: str) -> Any:
        return self._scripts("triggers", where)

    def list_sql_user_defined_functions(self, _group: str, *where: str) -> Any:
        return self._scripts("functions", where)

    def _scripts(self, kind: str, where: tuple[str, ...]) -> Any:
        return [_resource({"id": name, **body}) for name, body in self._container(*where).scripts[kind].items()]

    def list_sql_role_definitions(self, _group: str, account: str) -> Any:
        self._account(account)
        return []

    def list_sql_role_assignments(self, _group: str, account: str) -> Any:
        return [
            SimpleNamespace(as_dict=lambda each=each: {"name": each["name"], "properties": each})
            for each in self._account(account).assignments
        ]

    def _script(self, kind: str, said: tuple[Any, ...], asked: Mapping[str, Any]) -> None:
        _, account, database, container, name, body = said
        resource = {key: value for key, value in body.as_dict()["properties"]["resource"].items() if key != "id"}
        found = self._container(account, database, container)
        self._begin(f"script {kind}", 3, lambda: found.scripts[kind].update({name: resource}), asked)

    def begin_create_update_sql_stored_procedure(self, *said: Any, **asked: Any) -> None:
        self._script("procedures", said, asked)

    def begin_create_update_sql_trigger(self, *said: Any, **asked: Any) -> None:
        self._script("triggers", said, asked)

    def begin_create_update_sql_user_defined_function(self, *said: Any, **asked: Any) -> None:
        self._script("functions", said, asked)

    def begin_create_update_sql_container(self, _group: str, account: str, database: str, name: str, body: Any, **asked: Any) -> None:
        resource = {key: value for key, value in body.as_dict()["properties"]["resource"].items() if key != "id"}
        self._begin("container", 3, lambda: setattr(self._container(account, database, name), "resource", resource), asked)

    def begin_update_sql_container_throughput(self, _group: str, account: str, database: str, name: str, body: Any, **asked: Any) -> None:
        wanted, found = body.as_dict()["properties"]["resource"], self._container(account, database, name)
        if ("autoscaleSettings" in wanted) != ("autoscaleSettings" in (found.throughput or {})):
            raise refusal(400, "throughput is migrated first", "BadRequest")
        self._begin("throughput", 3, lambda: setattr(found, "throughput", wanted), asked)

    def begin_update_sql_database_throughput(self, _group: str, account: str, name: str, body: Any, **asked: Any) -> None:
        wanted = body.as_dict()["properties"]["resource"]
        self._begin("throughput", 3, lambda: self._account(account).throughputs.update({name: wanted}), asked)

    def begin_migrate_sql_container_to_autoscale(self, _group: str, account: str, database: str, name: str, **asked: Any) -> None:
        found = self._container(account, database, name)
        self._begin("migration", 3, lambda: setattr(found, "throughput", {"autoscaleSettings": {"maxThroughput": 1000}}), asked)

    # data

    def data(self, account: str) -> Any:
        """A client of an account's data, for the progress of its indexes."""

        def client(database: str, name: str) -> Any:
            def read(*, populate_quota_info: bool, response_hook: Any) -> None:
                assert populate_quota_info
                self.call("read_container", (), {})
                response_hook(
                    {"X-MS-DocumentDB-Collection-Index-Transformation-Progress": str(self._container(account, database, name).indexed)}, {}
                )

            return SimpleNamespace(read=read)

        return SimpleNamespace(
            get_database_client=lambda database: SimpleNamespace(get_container_client=lambda name: client(database, name))
        )

    def read_container(self) -> None:
        """Of the data plane."""


def _resource(body: dict[str, Any]) -> Any:
    found = SimpleNamespace(as_dict=lambda: {"properties": {"resource": dict(body)}})
    found.properties = SimpleNamespace(resource=SimpleNamespace(as_dict=lambda: dict(body)))
    return found


def _throughput(said: Mapping[str, Any] | None) -> Any:
    if said is None:
        raise refusal(404, "no throughput of its own", "NotFound")
    return _resource(dict(said))
