"""The Cassandra store: its backup half, and the restore half, which is loaded when it is needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING

from midtime.model.restore_point import StoreBackup
from midtime.model.topology.targets import Target as TargetWish
from midtime.stores.base import Question, RestoredSet, Say, Shelf, Target
from midtime.stores.cassandra.backup_side import CassandraBackup

if TYPE_CHECKING:
    from midtime.stores.cassandra.one_node import OneNode

log = logging.getLogger(__name__)


class CassandraStore(CassandraBackup):
    """A cluster, snapshotted and restored as a whole."""

    def target(self, wish: TargetWish | None, *, run: str, drill: bool, in_place: bool) -> Target:
        """The live cluster, in place; else the one that the topology names for drills."""
        from midtime.stores.cassandra import restoring

        return restoring.target_of(self.topology, self.name, wish, run=run, drill=drill, in_place=in_place)

    def restore_questions(self, target: Target, backup: StoreBackup) -> Iterator[Question]:
        """Every node of the target, and all that a restore needs of it."""
        if target.node:
            yield from self._one_node(target).questions(target, backup)
            return
        from midtime.stores.cassandra import restoring

        yield from restoring.questions(self.topology, target, backup)

    def drill_questions(self) -> Iterator[Question]:
        """The drill's cluster."""
        from midtime.stores.cassandra import restoring

        yield from restoring.drill_questions(self.topology, self.name)

    def restore(self, backup: StoreBackup, shelf: Shelf, target: Target, say: Say) -> None:
        """Stage and check every file on every node, or fill the drill's cluster."""
        if target.node:
            self._one_node(target).restore(backup, shelf, target, say)
            return
        from midtime.stores.cassandra import restoring

        restoring.restore(self.topology, backup, shelf, target, say)

    def restored(self, backup: StoreBackup, target: Target) -> AbstractContextManager[RestoredSet]:
        """What can be read once it is placed."""
        from midtime.stores.cassandra import restored

        return restored.open_restored(self.topology, backup, target)

    def verified_in_place(self, target: Target) -> bool:
        """Files that no server has opened cannot be asked for records."""
        return target.aside is not None and not target.node

    def place(self, backup: StoreBackup, target: Target) -> None:
        """Stop all nodes, swap their folders and start them."""
        if target.node:
            self._one_node(target).place(target, log.info)
            return
        from midtime.stores.cassandra import restoring

        restoring.place(self.topology, backup, target)

    def put_back(self, backup: StoreBackup, target: Target) -> None:
        """The other way round."""
        if target.node:
            self._one_node(target).put_back(target, log.info)
            return
        from midtime.stores.cassandra import restoring

        restoring.put_back(self.topology, backup, target)

    def discard(self, target: Target) -> None:
        """Remove what was staged; a drill's cluster becomes what it was."""
        if target.node:
            self._one_node(target).discard(target)
            return
        from midtime.stores.cassandra import restoring

        restoring.discard(self.topology, target)

    def node_target(self, label: str, *, run: str) -> Target:
        """One lost node, in place."""
        from midtime.stores.cassandra.one_node import OneNode

        return replace(OneNode(self.topology, self.name, label).target(run), node=label)

    def _one_node(self, target: Target) -> OneNode:
        from midtime.stores.cassandra.one_node import OneNode

        return OneNode(self.topology, self.name, target.node or target.final)
