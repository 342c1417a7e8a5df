"""Database accounts through ARM: created, changed, deleted, and their keys."""

from __future__ import annotations

import re
from typing import Any

from tests.stack.azure_arm_routes import Request, Routes
from tests.stack.azure_arm_world import answer, moment
from tests.stack.cloud_server import Answer
from tests.stack.cosmosdb_model import Account
from tests.stack.cosmosdb_restoring import Restorer
from tests.stack.cosmosdb_state import ACCOUNT, ACCOUNTS, ACTION, Cosmos, bad, region
from tests.stack.cosmosdb_world import short

PERIODIC = {
    "type": "Periodic",
    "periodicModeProperties": {"backupIntervalInMinutes": 240, "backupRetentionIntervalInHours": 8, "backupStorageRedundancy": "Geo"},
}
DEFAULTS: dict[str, Any] = {
    "publicNetworkAccess": "Enabled", "enableAutomaticFailover": False, "enableMultipleWriteLocations": False, "enableFreeTier": False,
    "isVirtualNetworkFilterEnabled": False, "virtualNetworkRules": [], "ipRules": [], "disableKeyBasedMetadataWriteAccess": False,
    "enableAnalyticalStorage": False, "networkAclBypass": "None", "networkAclBypassResourceIds": [], "disableLocalAuth": False,
    "minimalTlsVersion": "Tls12", "cors": [], "capabilities": [], "databaseAccountOfferType": "Standard", "createMode": "Default",
    "privateEndpointConnections": [], "backupPolicy": PERIODIC, "enableBurstCapacity": False, "enablePartitionMerge": False,
    "consistencyPolicy": {"defaultConsistencyLevel": "Session", "maxIntervalInSeconds": 5, "maxStalenessPrefix": 100},
}  # fmt: skip
#: not a client's to set
READ_ONLY = {"provisioningState", "documentEndpoint", "instanceId", "readLocations", "writeLocations", "failoverPolicies", "keysMetadata"}
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{1,42})[a-z0-9]")


class Accounts:
    def __init__(self, cosmos: Cosmos, routes: Routes) -> None:
        self.cosmos, self.restorer = cosmos, Restorer(cosmos)
        below = "/subscriptions/{subscription}/providers/Microsoft.DocumentDB"
        routes.add("GET", ACCOUNT, "DatabaseAccounts_Get", self.get, f"{ACTION}/read")
        routes.add("PUT", ACCOUNT, "DatabaseAccounts_CreateOrUpdate", self.put, f"{ACTION}/write")
        routes.add("PATCH", ACCOUNT, "DatabaseAccounts_Update", self.patch, f"{ACTION}/write")
        routes.add("DELETE", ACCOUNT, "DatabaseAccounts_Delete", self.delete, f"{ACTION}/delete")
        routes.add("GET", ACCOUNTS, "DatabaseAccounts_ListByResourceGroup", self.all, f"{ACTION}/read")
        routes.add("GET", f"{below}/databaseAccounts", "DatabaseAccounts_List", self.all, f"{ACTION}/read")
        routes.add("POST", f"{ACCOUNT}/listKeys", "DatabaseAccounts_ListKeys", self.keys, f"{ACTION}/listKeys/action")
        for method in ("GET", "POST"):
            routes.add(
                method, f"{ACCOUNT}/readonlykeys", "DatabaseAccounts_ListReadOnlyKeys", self.read_only_keys, f"{ACTION}/readonlykeys/action"
            )
        names = "/providers/Microsoft.DocumentDB/databaseAccountNames/{account}"
        routes.add("HEAD", names, "DatabaseAccounts_CheckNameExists", self.name_exists)

    def get(self, _: Request, subscription: str, group: str, account: str) -> Answer:
        return answer(200, self.described(self.cosmos.account(group, account)))

    def all(self, _: Request, subscription: str, group: str = "") -> Answer:
        """Of a resource group, or of all."""
        living = [each for each in self.cosmos.accounts if each.gone is None and (not group or each.group.lower() == group.lower())]
        return answer(200, {"value": [self.described(each) for each in living]})

    def name_exists(self, _: Request, account: str) -> Answer:
        return answer(200 if self._taken(account) else 404)

    def _taken(self, name: str) -> bool:
        return self.cosmos.find(name) is not None or name in self.cosmos.settings.taken

    def put(self, request: Request, subscription: str, group: str, account: str) -> Answer:
        body = request.json
        wanted = body.get("properties", {})
        there = self.cosmos.find(account)
        if there and there.group.lower() == group.lower():
            if there.state not in ("Succeeded", "Failed"):
                raise self.cosmos.busy(account)
            if wanted.get("createMode") == "Restore":
                raise bad(f"Database account with name {account} already exists. It cannot be restored into.")
            return self._change(request, there, body)
        if there or account in self.cosmos.settings.taken:
            raise bad(f"Dns record for {account} under zone Document is already taken. Please use a different name for the account.")
        if not NAME.fullmatch(account):
            raise bad(f"The account name '{account}' is not valid: 3 to 44 lower-case letters, digits and hyphens")
        made = self._new(group, account, body)
        if wanted.get("createMode") == "Restore":
            return self._restore(request, made, wanted)
        seconds = self.cosmos.settings.seconds("create", account)
        return self._begin(request, made, seconds, lambda: self._there(made))

    def _new(self, group: str, name: str, body: dict[str, Any]) -> Account:
        wanted = body.get("properties", {})
        if not wanted.get("locations"):
            raise bad("Database account must have at least one location")
        locations = sorted(wanted["locations"], key=lambda each: int(each.get("failoverPriority", 0)))
        kept = {name: value for name, value in wanted.items() if name not in READ_ONLY and name != "restoreParameters"}
        regions = [
            {**each, "locationName": region(each["locationName"]), "failoverPriority": number} for number, each in enumerate(locations)
        ]
        consistency = {**DEFAULTS["consistencyPolicy"], **kept.get("consistencyPolicy", {})}
        properties = {**DEFAULTS, **kept, "locations": regions, "consistencyPolicy": consistency}
        return Account(name, group, regions[0]["locationName"], properties, dict(body.get("tags") or {}), self.cosmos.now,
                       kind=body.get("kind") or "GlobalDocumentDB", identity=body.get("identity") or {"type": "None"})  # fmt: skip

    def _begin(self, request: Request, account: Account, seconds: float, work: Any) -> Answer:
        self.cosmos.accounts.append(account)
        body = self.described(account)
        return self.cosmos.accept(request, seconds, account.location, work, undo=lambda: self._failed(account), status=200, content=body)

    def _failed(self, account: Account) -> None:
        account.state, account.restoring = "Failed", False

    def _there(self, account: Account) -> None:
        account.state, account.restoring, account.born = "Succeeded", False, self.cosmos.now
        if account.properties["backupPolicy"]["type"] == "Continuous":
            account.continuous_since = account.born

    def _restore(self, request: Request, account: Account, wanted: dict[str, Any]) -> Answer:
        plan = self.restorer.plan(account, wanted.get("restoreParameters") or {})
        account.restoring = True
        calls = self.cosmos.service.world.calls
        calls.most_restoring = max(calls.most_restoring, 1 + sum(each.restoring for each in self.cosmos.accounts))
        settings = self.cosmos.settings
        seconds = settings.seconds("restore", account.name) + plan.items * settings.restore_per_item

        def work() -> None:
            plan.carry_out(self.cosmos.now)
            self._there(account)

        return self._begin(request, account, seconds, work)

    def patch(self, request: Request, subscription: str, group: str, account: str) -> Answer:
        return self._change(request, self.cosmos.settled(group, account), request.json)

    def _change(self, request: Request, account: Account, body: dict[str, Any]) -> Answer:
        wanted = {name: value for name, value in body.get("properties", {}).items() if name not in READ_ONLY and name != "createMode"}
        backup = wanted.get("backupPolicy", {}).get("type")
        if backup == "Periodic" and account.continuous_since is not None:
            raise bad("Continuous backup mode cannot be disabled once it is enabled")
        if "locations" in wanted:
            wanted["locations"] = [{**each, "locationName": region(each["locationName"])} for each in wanted["locations"]]
        account.state = "Updating"

        def work() -> None:
            account.properties = {**account.properties, **wanted}
            account.tags = dict(body["tags"]) if body.get("tags") is not None else account.tags
            account.identity = body.get("identity") or account.identity
            account.state = "Succeeded"
            if backup == "Continuous" and account.continuous_since is None:
                account.continuous_since = self.cosmos.now

        seconds = self.cosmos.settings.seconds("update", account.name)
        content = self.described(account)
        return self.cosmos.accept(request, seconds, account.location, work, undo=lambda: self._failed(account), status=200, content=content)

    def delete(self, request: Request, subscription: str, group: str, account: str) -> Answer:
        found = self.cosmos.find(account)
        if found is None or found.group.lower() != group.lower():
            return answer(204)
        self.cosmos.settled(group, account)
        found.state = "Deleting"

        def work() -> None:
            found.gone = self.cosmos.now
            found.state = "Deleted"

        seconds = self.cosmos.settings.seconds("delete", account)
        return self.cosmos.accept(request, seconds, found.location, work, undo=lambda: self._failed(found))

    def keys(self, _: Request, subscription: str, group: str, account: str) -> Answer:
        return answer(200, self.cosmos.usable(self.cosmos.account(group, account)).keys)

    def read_only_keys(self, _: Request, subscription: str, group: str, account: str) -> Answer:
        keys = self.cosmos.usable(self.cosmos.account(group, account)).keys
        return answer(200, {name: key for name, key in keys.items() if "Readonly" in name})

    def described(self, account: Account) -> dict[str, Any]:
        there = account.state not in ("Creating", "Failed")
        endpoint = f"https://{account.name}.documents.azure.com:443/"
        locations = [self._location(account, each, there) for each in account.properties["locations"]]
        policies = [{key: each[key] for key in ("id", "locationName", "failoverPriority")} for each in locations]
        writable = locations if account.properties["enableMultipleWriteLocations"] else locations[:1]
        reached = {"documentEndpoint": endpoint, "sqlEndpoint": endpoint} if there else {}
        return {
            "id": self.cosmos.path_of(account), "name": account.name, "location": account.location, "kind": account.kind,
            "type": "Microsoft.DocumentDB/databaseAccounts", "tags": account.tags, "identity": account.identity,
            "systemData": {"createdAt": moment(account.born)},
            "properties": {
                **account.properties, **reached, "provisioningState": account.state, "instanceId": account.instance, "EnabledApiTypes": "Sql",
                "locations": locations, "readLocations": locations, "writeLocations": writable, "failoverPolicies": policies,
            },
        }  # fmt: skip

    @staticmethod
    def _location(account: Account, place: dict[str, Any], there: bool) -> dict[str, Any]:
        name = f"{account.name}-{short(place['locationName'])}"
        endpoint = {"documentEndpoint": f"https://{name}.documents.azure.com:443/"} if there else {}
        known = {"id": name, "locationName": place["locationName"], **endpoint, "provisioningState": account.state}
        return {**known, "failoverPriority": place["failoverPriority"], "isZoneRedundant": bool(place.get("isZoneRedundant"))}
