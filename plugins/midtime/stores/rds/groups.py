"""What a copy is made with and is no part of it: its groups. Whether they are there yet is asked before the service is asked for the copy.

Not asked for: security groups, which are EC2's and would need rights there, and the KMS key. Without them the service refuses the restore itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from botocore.exceptions import ClientError

from midtime.errors import StoreAccessError
from midtime.stores.aws.refusals import code_of
from midtime.stores.rds.clients import RdsClients
from midtime.stores.rds.settings import MarkedServer

NOTED = "groups"
"""Of a restore point's details: what its copies need."""
_SUBNETS, _PARAMETERS = "DBSubnetGroupName", "DBParameterGroupName"
_KINDS = {
    _SUBNETS: ("subnet group", "describe_db_subnet_groups", "DBSubnetGroups"),
    _PARAMETERS: ("parameter group", "describe_db_parameter_groups", "DBParameterGroups"),
    "DBClusterParameterGroupName": ("cluster parameter group", "describe_db_cluster_parameter_groups", "DBClusterParameterGroups"),
    "OptionGroupName": ("option group", "describe_option_groups", "OptionGroupsList"),
}
"""By the setting: what it is, the call, the list in its answer."""
_GONE = frozenset({
    "DBSubnetGroupNotFoundFault", "DBParameterGroupNotFound", "DBParameterGroupNotFoundFault", "DBClusterParameterGroupNotFoundFault",
    "OptionGroupNotFoundFault",
})  # fmt: skip
_AMAZONS = re.compile(r"default([.:].*)?")
"""Are made by Amazon when they are needed; a subnet group is called just so."""

Groups = Mapping[str, Sequence[str]]


def groups_of(marked: MarkedServer) -> dict[str, list[str]]:
    """By kind; an instance of a cluster brings a parameter group of its own."""
    found = {key: {marked.settings[key]} for key in _KINDS if key in marked.settings}
    for member in marked.members:
        found.setdefault(_PARAMETERS, set()).update({member.settings[_PARAMETERS]} if _PARAMETERS in member.settings else ())
    chosen = {key: sorted(name for name in names if not _AMAZONS.fullmatch(name)) for key, names in found.items()}
    return {key: names for key, names in chosen.items() if names}


def require_groups(aws: RdsClients, groups: Groups, subnet_group: str | None = None) -> str:
    """All of them are there.

    :param subnet_group: another one than marked, of a drill's target
    :raises StoreAccessError: some are gone
    """
    wanted = {**groups, **({_SUBNETS: [subnet_group]} if subnet_group else {})}
    every = [(key, name) for key, names in wanted.items() for name in names]
    if gone := [f"{_KINDS[key][0]} {name}" for key, name in every if not _is_there(aws, key, name)]:
        raise StoreAccessError(
            f"store {aws.store}: what a copy is made with is gone: {', '.join(gone)}",
            fix="make it again under its old name; a drill's target may name another `subnet_group`",
        )
    return ", ".join(f"{_KINDS[key][0]} {name}" for key, name in every) or "none but Amazon's own"


def _is_there(aws: RdsClients, key: str, name: str) -> bool:
    _, call, listing = _KINDS[key]
    with aws.errors(aws.store):
        try:
            found = getattr(aws.control, call)(**{key: name})[listing]
        except ClientError as error:
            if code_of(error) in _GONE:
                return False
            raise
    return any(each[key].lower() == name.lower() for each in found)
