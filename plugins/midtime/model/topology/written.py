"""A topology as a file again: what a restore point keeps of it, so that the destination alone is enough to begin anew."""

from __future__ import annotations

import yaml

from midtime.model.topology.model import Topology


def written(topology: Topology, *, destination: str | None = None) -> str:
    """The topology as YAML: what differs from the defaults, in the reference's order, without the comments of the file that it came from.

    It holds no secret of the forms that :mod:`~midtime.model.topology.secret_values` knows, because no file that holds one of those
    becomes a topology. A secret of another form, in a command or in a notifier's arguments, is written like any text: who may read the
    destination reads it.

    :param destination: where its restore points are by now, if they are not where the topology says
    """
    body = topology.model_dump(mode="json", exclude_defaults=True)
    if destination:
        body["destination"] = destination
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=130)
