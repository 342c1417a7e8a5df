"""What moto's handlers of DynamoDB's and Application Auto Scaling's requests leave out of a request before the backends see it."""

from __future__ import annotations

import base64
import functools
import json
import re
from typing import Any, cast

import moto.core.responses
from moto.applicationautoscaling.models import applicationautoscaling_backends
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse, _build_target
from moto.core.responses import ActionResult
from moto.core.utils import method_names_from_class
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.responses import DynamoHandler, DynamoResult

from tests.stack.dynamodb_backend import TimedBackend
from tests.stack.dynamodb_backups import refusal
from tests.stack.dynamodb_history import TimedTable
from tests.stack.dynamodb_scaling import TimedScaling
from tests.stack.dynamodb_world import DATA_OPERATIONS

dynamodb_backends.backend = TimedBackend
applicationautoscaling_backends.backend = TimedScaling
# it looks through a class at each request
moto.core.responses.method_names_from_class = functools.cache(method_names_from_class)  # type: ignore[attr-defined]
#: the only expression that ScalarDB has for updates; moto takes ten milliseconds for it, as if it were any other
ASSIGNMENTS = re.compile(r"SET #\w+ = :\w+(, #\w+ = :\w+)*")


class Tables(DynamoHandler):
    """DynamoDB."""

    @property
    def backend(self) -> TimedBackend:
        return cast(TimedBackend, self.dynamodb_backend)

    def serialized(self, action_result: ActionResult) -> Any:
        """Items as they are: moto walks through the service's model at each of their attributes."""
        if not isinstance(action_result, DynamoResult) or self._get_action() not in DATA_OPERATIONS:
            return super().serialized(action_result)
        body = json.dumps(action_result.result, default=lambda raw: base64.b64encode(raw).decode())
        return 200, {**self.response_headers, "Content-Type": "application/x-amz-json-1.0"}, body

    def update_item(self) -> ActionResult:
        expression = self.body.get("UpdateExpression", "")
        others = {"Expected", "AttributeUpdates"} & set(self.body) or self.body.get("ReturnValues", "NONE") != "NONE"
        if others or not ASSIGNMENTS.fullmatch(expression):
            return super().update_item()
        names, values = self.body["ExpressionAttributeNames"], self.body["ExpressionAttributeValues"]
        pairs = (each.split(" = ") for each in expression.removeprefix("SET ").split(", "))
        assigned = {names[name]: values[value] for name, value in pairs}
        if not self.backend.assign(self.body, assigned):
            return super().update_item()
        return DynamoResult({})

    def create_table(self) -> ActionResult:
        super().create_table()
        return self._with_more()

    def update_table(self) -> ActionResult:
        super().update_table()
        return self._with_more()

    def _with_more(self) -> ActionResult:
        """What moto does not store."""
        table = self.backend.get_table(self.body["TableName"])
        if "TableClass" in self.body:
            table.more["TableClassSummary"] = {"TableClass": self.body["TableClass"]}
        if "OnDemandThroughput" in self.body:
            table.more["OnDemandThroughput"] = self.body["OnDemandThroughput"]
        for index in self._indexes():
            if "OnDemandThroughput" in index:
                table.more_of_indexes[index["IndexName"]] = {"OnDemandThroughput": index["OnDemandThroughput"]}
        if "SSESpecification" in self.body:
            default = {"KMSMasterKeyId": table._get_default_encryption_key(table.account_id, table.region_name)}
            table.sse_specification = {**default, **self.body["SSESpecification"]}
        return DynamoResult(table.describe())

    def _indexes(self) -> list[dict[str, Any]]:
        """That are made or changed."""
        changes = self.body.get("GlobalSecondaryIndexUpdates", [])
        return [*self.body.get("GlobalSecondaryIndexes", []), *(body for change in changes for body in change.values())]

    def restore_table_to_point_in_time(self) -> ActionResult:
        return DynamoResult(self.backend.restore_to_point_in_time(self.body).describe())

    def restore_table_from_backup(self) -> ActionResult:
        return DynamoResult(self.backend.restore_backup(self.body).describe())

    def list_backups(self) -> ActionResult:
        kinds = {"ALL": {"USER", "SYSTEM"}}.get(self.body.get("BackupType", "USER"), {self.body.get("BackupType", "USER")})
        found: list[Any] = [each for each in self.backend.list_backups(self.body.get("TableName")) if each.type in kinds]
        arns = [each.arn for each in found]
        start = arns.index(self.body["ExclusiveStartBackupArn"]) + 1 if "ExclusiveStartBackupArn" in self.body else 0
        page = found[start : start + self.body.get("Limit", 100)]
        more = {"LastEvaluatedBackupArn": page[-1].arn} if start + len(page) < len(found) else {}
        return DynamoResult({"BackupSummaries": [each.summary for each in page], **more})

    def tag_resource(self) -> ActionResult:
        table = self._tagged()
        new = {each["Key"]: each["Value"] for each in self.body["Tags"]}
        table.tags = [each for each in table.tags if each["Key"] not in new] + [{"Key": key, "Value": new[key]} for key in new]
        return ActionResult({})

    def untag_resource(self) -> ActionResult:
        table = self._tagged()
        table.tags = [each for each in table.tags if each["Key"] not in self.body["TagKeys"]]
        return ActionResult({})

    def _tagged(self) -> TimedTable:
        table = self.backend.get_table(self.body["ResourceArn"])
        if not table.has_data:
            raise refusal("ResourceInUseException", f"Table is {table.status}: {table.name}")
        return table

    def update_time_to_live(self) -> ActionResult:
        table = self.backend.get_table(self.body["TableName"])
        if not table.has_data:
            raise refusal("ResourceInUseException", f"Table is {table.status}: {table.name}")
        wanted = "ENABLED" if self.body["TimeToLiveSpecification"]["Enabled"] else "DISABLED"
        if table.ttl["TimeToLiveStatus"] == wanted:
            raise refusal("ValidationException", f"TimeToLive is already {wanted.lower()}")
        answer = super().update_time_to_live()
        if wanted == "DISABLED":
            table.ttl.pop("AttributeName", None)
        return answer


class Scaling(ApplicationAutoScalingResponse):
    """Application Auto Scaling."""

    def describe_scalable_targets(self) -> str:
        """Moto's pages go round in circles from the third on."""
        self._validate_params()
        asked = (self._get_param(key) for key in ("ServiceNamespace", "ResourceIds", "ScalableDimension"))
        found = self.applicationautoscaling_backend.describe_scalable_targets(*asked)
        start, most = int(self._get_param("NextToken") or 0), self._get_int_param("MaxResults") or 50
        more = {"NextToken": str(start + most)} if start + most < len(found) else {}
        return json.dumps({"ScalableTargets": [_build_target(each) for each in found[start : start + most]], **more})
