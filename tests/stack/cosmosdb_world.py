"""What the double of Azure Cosmos DB goes by, beside what all of Azure has."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.stack.azure_arm_world import ArmSettings, ArmWorld
from tests.stack.cloud_world import CloudWorld, Duration

#: what clients do with items and with what they need to know for it; everything else is the control plane, also what is created
#: through the data plane
DATA_OPERATIONS = {
    *("ReadAccount", "ReadPartitionKeyRanges", "ReadItem", "ReadItems", "QueryItems", "QueryPlan"),
    *("CreateItem", "UpsertItem", "ReplaceItem", "DeleteItem", "ReadContainer", "ReadDatabase", "QueryOffers"),
    "ExecuteStoredProcedure",
}
DAY = 24 * 3600
RETENTION = {"Continuous7Days": 7 * DAY, "Continuous30Days": 30 * DAY}


@dataclass
class CosmosSettings(ArmSettings):
    """The service's own lag is up to 100 seconds, and its restores take from minutes to hours."""

    #: of databases, containers, throughput, scripts and roles through ARM
    resource: Duration = 0.0
    #: until a container's latest restorable time is found out
    backup_information: Duration = 0.0
    #: of a restored container's index, after it is there
    reindexing: Duration = 0.0
    #: where the latest restorable time stands still, by ``database/container`` or ``*``
    backed_up: dict[str, float] = field(default_factory=dict)
    #: physical partitions of a new container
    partitions: int = 2
    #: most items of a page
    page: int = 100
    #: the default consistency of a restored account; by default the source's, as Azure's documentation says
    restored_consistency: str | None = None


def new_world() -> ArmWorld:
    return CloudWorld(CosmosSettings, DATA_OPERATIONS)


def short(name: str) -> str:
    """A region as paths and addresses have it: without spaces, in lower case."""
    return name.replace(" ", "").lower()
