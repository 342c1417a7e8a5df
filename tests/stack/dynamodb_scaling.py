"""Application Auto Scaling as far as DynamoDB's tables and indexes go: targets need their table, policies need their target."""

from __future__ import annotations

from typing import Any

from moto.applicationautoscaling.exceptions import AWSValidationException
from moto.applicationautoscaling.models import (
    ApplicationAutoscalingBackend,
    FakeApplicationAutoscalingPolicy,
    applicationautoscaling_backends,
)
from moto.core.exceptions import JsonRESTError
from moto.dynamodb.models import dynamodb_backends


class TimedScaling(ApplicationAutoscalingBackend):
    """One region's."""

    def register_scalable_target(self, namespace: str, r_id: str, *arguments: Any, **keywords: Any) -> Any:
        self._require_resource(r_id)
        return super().register_scalable_target(namespace, r_id, *arguments, **keywords)

    def _require_resource(self, resource: str) -> None:
        _, name, *index = resource.split("/")
        table = dynamodb_backends[self.account_id][self.region_name].tables.get(name)
        if table is None or (index and index[-1] not in {each.name for each in table.global_indexes}):
            raise AWSValidationException(f"DynamoDB table or index does not exist: {resource}")

    def deregister_scalable_target(self, namespace: str, r_id: str, dimension: str) -> None:
        super().deregister_scalable_target(namespace, r_id, dimension)
        for policy in list(self.policies.values()):
            if (policy.resource_id, policy.scalable_dimension) == (r_id, dimension):
                self.delete_scaling_policy(policy.policy_name, namespace, r_id, dimension)
        for action in list(self.scheduled_actions):
            if (action.resource_id, action.scalable_dimension) == (r_id, dimension):
                self.delete_scheduled_action(namespace, action.scheduled_action_name, r_id, dimension)

    def put_scaling_policy(
        self, policy_name: str, service_namespace: str, resource_id: str, scalable_dimension: str, *arguments: Any, **keywords: Any
    ) -> Any:
        if not self._scalable_target_exists(resource_id, scalable_dimension):
            message = f"No scalable target registered for service namespace: {service_namespace}, resource ID: {resource_id}"
            raise JsonRESTError("ObjectNotFoundException", message)
        old = self.policies.get(
            FakeApplicationAutoscalingPolicy.formulate_key(service_namespace, resource_id, scalable_dimension, policy_name)
        )
        if old:
            old.delete_alarms(self.account_id, self.region_name)  # it makes new ones
        return super().put_scaling_policy(policy_name, service_namespace, resource_id, scalable_dimension, *arguments, **keywords)

    def describe_scaling_policies(
        self, service_namespace: str, resource_id: str, scalable_dimension: str, *arguments: Any, **keywords: Any
    ) -> Any:
        """Moto looks for a substring, which finds a table's policies for those of its indexes."""
        resources: Any = [resource_id] if resource_id else ""
        dimensions: Any = [scalable_dimension] if scalable_dimension else ""
        return super().describe_scaling_policies(service_namespace, resources, dimensions, *arguments, **keywords)


def forget(account: str, region: str, table: str) -> None:
    """With a table go the targets and policies of the table and its indexes."""
    backend = applicationautoscaling_backends[account][region]
    for target in backend.describe_scalable_targets("dynamodb", None, None):
        if target.resource_id.split("/")[1] == table:
            backend.deregister_scalable_target("dynamodb", target.resource_id, target.scalable_dimension)
