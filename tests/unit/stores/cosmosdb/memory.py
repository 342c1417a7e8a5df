"""A subscription that is a dictionary: accounts that are made, restored, changed and deleted."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tests.unit.stores.azure.service import refusal
from tests.unit.stores.cosmosdb.containers import Containers
from tests.unit.stores.cosmosdb.service import GROUP, KEY, OPEN, SUBSCRIPTION, Account, Container


class Memory(Containers):
    """The subscription."""

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
        places = [
            SimpleNamespace(location_name=each["locationName"], creation_time=self.moment(account.made), deletion_time=ended)
            for each in account.properties["locations"]
        ]
        said = SimpleNamespace(
            oldest_restorable_time=self.moment(account.made),
            creation_time=self.moment(account.made),
            deletion_time=ended,
            restorable_locations=places,
        )
        path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.DocumentDB/locations/japaneast/restorableDatabaseAccounts/{account.instance}"
        return SimpleNamespace(name=account.instance, id=path, properties=said, **self._listed(account))

    def _listed(self, account: Account) -> dict[str, Any]:
        return {"as_dict": lambda: self._described(account).as_dict()}

    def begin_retrieve_continuous_backup_information(self, *where: Any) -> Any:
        lag = self.lags.get(where[-1].location, 100.0)
        said = SimpleNamespace(latest_restorable_timestamp=self.moment(self.now - lag).strftime("%m/%d/%Y %I:%M:%S %p"))
        return SimpleNamespace(wait=lambda _: None, done=lambda: True, result=lambda: SimpleNamespace(continuous_backup_information=said))
