"""The topology: the products and databases that are backed up and restored together."""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from midtime.model.topology.base import Many, ObjectUrl, Section, Text, TopologyName
from midtime.model.topology.cassandra import Cassandra
from midtime.model.topology.cloud import Aurora, AzureMysql, AzurePostgresql, Cosmosdb, Dynamodb, Rds
from midtime.model.topology.cron import Cron, TimeZone, zone
from midtime.model.topology.plan import Check, Coordinator, Drill, Notifications, Pause, Retention, ScalarDb
from midtime.model.topology.products import Product
from midtime.model.topology.relational import Mysql, Postgresql, Sqlite
from midtime.model.topology.rules import broken_rules

AnyStore = Postgresql | Mysql | Sqlite | Cassandra | Dynamodb | Cosmosdb | Rds | Aurora | AzurePostgresql | AzureMysql
Store = Annotated[AnyStore, Field(discriminator="engine")]
Shape = Literal["single_rdb", "multi_storage", "cassandra_cluster"]


class Topology(Section):
    """One topology file."""

    name: TopologyName = Field(description="Name of the topology; the DAGs are `<name>__backup`, `<name>__restore`, `<name>__drill`.")
    description: Text | None = Field(default=None, description="A sentence for the DAGs' pages.")
    owner: Text = Field(default="midtime", description="Owner that Airflow shows.")
    tags: Many[Text] = Field(default=(), description="More tags of the DAGs.")
    destination: ObjectUrl = Field(
        description="Where restore points go: any URL of Airflow's object storage (`file:///folder`, `s3://connection@bucket/prefix`, `abfss://...`)."
    )
    products: Many[Product] = Field(default=(), description="What is paused. Needed unless one relational database holds everything.")
    scalardb: ScalarDb = Field(default=ScalarDb(), description="What ScalarDB does that a verdict must know.")
    stores: Many[Store] = Field(min_length=1, description="The databases; the keys depend on `engine`.")
    schedule: Cron | None = Field(default=None, description="When backups run, as a cron expression. Default: by hand.")
    timezone: TimeZone = Field(default="UTC", description="Time zone of all schedules.")
    pause: Pause = Field(default=Pause(), description="The pause window.")
    retention: Retention = Field(default=Retention(), description="Which restore points stay.")
    drill: Drill = Field(default=Drill(), description="Restore drills.")
    checks: Many[Check] = Field(default=(), description="Questions to restored stores.")
    notifications: Notifications = Field(default=Notifications(), description="Who is told.")

    _source: Path | None = PrivateAttr(default=None)

    def model_post_init(self, context: Any, /) -> None:
        """Remember the file, which the loader hands over as validation context."""
        self._source = (context or {}).get("source")

    @model_validator(mode="after")
    def _cross_rules(self) -> Self:
        problems = broken_rules(self)
        if problems:
            summary = "; ".join(problem.reason for problem in problems)
            raise PydanticCustomError("rules", "{summary}", {"summary": summary, "problems": problems})
        return self

    @property
    def source(self) -> Path | None:
        """The file, if there is one."""
        return self._source

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what the file says; layout, comments, key order and written-out defaults do not change it."""
        content = self.model_dump(mode="json", exclude_defaults=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def needs_pause(self) -> bool:
        """Any NoSQL store, or more than one database: pause. One relational database that holds everything: one transaction sees it all."""
        return len(self.stores) > 1 or not self.stores[0].relational

    @property
    def point_in_time(self) -> bool:
        """A store is restored to a point of its own history: a restore point is not restorable the moment that it is published."""
        return any(store.point_in_time for store in self.stores)

    @property
    def shape(self) -> Shape:
        """The DAG file that backs this topology up."""
        if not self.needs_pause:
            return "single_rdb"
        return "cassandra_cluster" if all(isinstance(store, Cassandra) for store in self.stores) else "multi_storage"

    @property
    def pause_set(self) -> tuple[Product, ...]:
        """The products that a window pauses: all, but the Auditor only in strict mode."""
        if not self.needs_pause:
            return ()
        return tuple(product for product in self.products if self.pause.strict or product.kind != "scalardl-auditor")

    @property
    def coordinators(self) -> tuple[Coordinator, ...]:
        """The Coordinator tables, the default made explicit."""
        stated = self.scalardb.coordinators
        if stated or self.scalardb.transaction_manager != "consensus-commit":
            return stated
        return (Coordinator(store=self.stores[0].name),)

    @property
    def timezone_info(self) -> ZoneInfo:
        """The time zone of all schedules."""
        return zone(self.timezone)

    def store(self, name: str) -> AnyStore:
        """Return a store by its name.

        :raises KeyError: if the topology has no such store
        """
        for store in self.stores:
            if store.name == name:
                return store
        raise KeyError(name)

    def coordinator_stores(self) -> tuple[AnyStore, ...]:
        """Return the stores that hold a Coordinator, each once: they are captured first."""
        names = {coordinator.store for coordinator in self.coordinators}
        return tuple(store for store in self.stores if store.name in names)

    def coordinator_namespaces(self, store: str) -> tuple[str, ...]:
        """Return the namespaces of the Coordinators in a store."""
        return tuple(coordinator.namespace for coordinator in self.coordinators if coordinator.store == store)

    def all_namespaces(self, store: str) -> tuple[str, ...]:
        """Return every namespace that a backup of a store must hold: its own, its Coordinators', ScalarDB's metadata."""
        wanted = (*self.store(store).namespaces, *self.coordinator_namespaces(store), self.scalardb.metadata_namespace)
        return tuple(dict.fromkeys(wanted))

    def writers(self, store: str) -> tuple[Product, ...]:
        """Return the products that write to a store."""
        return tuple(product for product in self.products if product.stores is None or store in product.stores)

    def quiesced(self, store: str) -> bool:
        """Tell whether a window stops every product that writes to a store; the Auditor's store is not, outside strict mode."""
        return self.needs_pause and all(product in self.pause_set for product in self.writers(store))
