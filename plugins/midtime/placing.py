"""A restored set put in place: products stopped, every store placed, products started, as one act that is done whole or not at all.

Before each step the journal says what is about to be done (:mod:`midtime.catalog.placings`). So whoever finds a dead run, killed between any
two lines, knows what may have been done: a retry goes on, the teardown and the sweeper put back what is not complete. Products never run on a
set of which one store is new and another old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from midtime import products
from midtime.catalog import Catalog, Lease, given_up
from midtime.catalog.leases import WORKING
from midtime.catalog.placings import SETTLED, PlacingJournal, State, journal_of
from midtime.errors import LeaseHeldError, MidtimeError, RestoreFailedError
from midtime.model.restore_point import RestorePoint
from midtime.model.restore_point import State as PointState
from midtime.model.topology import Topology
from midtime.preflight import require
from midtime.stores import open_store
from midtime.stores.base import WILL_BE, Say, Target, ask
from midtime.verification import verify

_UNTOUCHED = (State.NEW, State.UNDONE)
_OVER = (*_UNTOUCHED, State.DONE)


class Placing:
    """The placing of one run's set, by one process.

    :param lease: the run's, held by the caller; its details name the restore point and the targets
    :param say: is told what was done, one line at a time
    :raises CatalogError: the journal is unreadable
    """

    def __init__(self, topology: Topology, catalog: Catalog, lease: Lease, say: Say) -> None:
        self.topology, self.catalog, self.lease, self.say = topology, catalog, lease, say
        self.targets = {body["store"]: Target.from_dict(body) for body in lease.details.get("targets", ())}
        self.replaces = any(target.aside for target in self.targets.values())
        self.journal: PlacingJournal = journal_of(catalog, lease.name)
        self._at = ""
        self._inherited_stop = False

    @property
    def settled(self) -> bool:
        """Whether all stores are in place, or none is; only then may the working copies be removed."""
        return self.journal.state in SETTLED

    def place(self) -> None:
        """Go forward, from wherever an earlier try was.

        :raises LeaseHeldError: somebody else goes on with this run; nothing more was done
        :raises RestoreFailedError: one store could not be placed, and another not be put back: the products stay stopped
        :raises VerificationError: the set, with the stores in place that can only be verified there, is not good; everything is as it was
        :raises MidtimeError: a store could not be placed, or a product not be stopped, and everything is as it was; or all are in place,
            and a product could not be started, or is paused
        """
        if self.journal.state is State.ENDED:
            raise LeaseHeldError("this run was ended by its teardown or by midtime__sweep", fix="start a new run")
        self._take_over()
        if self.journal.state in (State.PUTTING_BACK, State.PUT_BACK):
            self._undo()
        if self.journal.state not in (State.PLACED, State.DONE):
            self._bring_into_place()
        if self.journal.state is not State.DONE:
            self._start(State.DONE)

    def settle(self) -> None:
        """End the run: back where not all stores were placed, forward where they were. Nobody goes on with it after that.

        :raises LeaseHeldError: somebody else goes on with this run; nothing more was done
        :raises RestoreFailedError: a store could not be put back: the products stay stopped
        :raises MidtimeError: a product could not be started, or is paused; the stores are in order (:attr:`settled`)
        """
        if self.journal.state is State.ENDED or self.lease.details.get("kind") == "drill":
            return  # a drill places nothing
        self._take_over()
        if self.journal.state is State.PLACED:
            self.say("The run died with all stores in place: only what is left is done")
            self._start(State.DONE)
        elif self.journal.state not in _OVER:
            self.say(f"The run died while it was {self.journal.state}: everything goes back")
            self._undo()
        self._about_to(State.ENDED)

    # -- forward ----------------------------------------------------------------------------------------------------------------------

    def _bring_into_place(self) -> None:
        try:
            if self.journal.state is not State.PLACING:
                self._ask()
            self._stop()
            self._place_all()
        except LeaseHeldError:
            raise
        except MidtimeError as error:
            raise self._undone(error) from error
        except BaseException:
            self._undo()
            raise

    def _ask(self) -> None:
        """Once more whether each store can be placed: the plan may be a day old."""
        for store, target in self.targets.items():
            if target.node:
                self.catalog.resolve_for_node(self._point.id, store)
        found = {
            store: open_store(self.topology, store).restore_questions(target, self._point.store(store))
            for store, target in self.targets.items()
        }
        require(check for store, questions in found.items() for check in ask(store, (each for each in questions if each[0] == WILL_BE)))

    def _stop(self) -> None:
        """Products; those that an earlier try stopped cannot be looked up any more, so the journal knows where they were."""
        began, known = self.journal.state, self.journal.entry.addresses
        if self.replaces:
            if fresh := began in _UNTOUCHED:
                known = products.find_all(self.topology)
            if began is not State.PLACING:
                self._about_to(State.STOPPING, known=known)
            products.stop_all(self.topology, known, again=not fresh)
        if began is not State.PLACING:
            self._about_to(State.PLACING)

    def _place_all(self) -> None:
        """Those that are verified in place, the verification, then the others in the plan's order; what is in place already is found to be."""
        first = [store for store, target in self.targets.items() if open_store(self.topology, store).verified_in_place(target)]
        others = [store for store in self.targets if store not in first]
        verified = any(store in others for store in self.journal.entry.begun)  # then they may be where nobody can verify them
        for store in first:
            self._place(store)
        if first and not verified:
            self._verify()
        for store in others:
            self._place(store)
        self._about_to(State.PLACED)

    def _place(self, store: str) -> None:
        begun, point, target = list(self.journal.entry.begun), self._point, self.targets[store]
        if store not in begun:
            begun.append(store)
        self._about_to(State.PLACING, begun)  # nothing comes between the last look at the lease and the act
        self._at = store
        open_store(self.topology, store).place(point.store(store), target)
        self._at = ""
        kept = f"; what was there, if anything, is kept as {target.aside}" if target.aside else ""
        self.say(f"{store} is in place as {target.final}{kept}")

    def _verify(self) -> None:
        found = verify(self.topology, self._point, self.targets.values())
        self.say(f"The set, before the products start on it: {found.summary()}")
        if error := found.error():
            raise error

    # -- back -------------------------------------------------------------------------------------------------------------------------

    def _undone(self, error: MidtimeError) -> MidtimeError:
        """Put everything back because of an error, and say so in it."""
        if self.journal.state in _UNTOUCHED:
            return error
        said = f"store {self._at} could not be put in place: {error.message}" if self._at else error.message
        try:
            self._undo()
        except LeaseHeldError:
            raise
        except MidtimeError as worse:
            if self.settled:
                return type(error)(f"{said}; every store is as it was, but {worse.message}", fix=f"{error.fix}; {worse.fix}")
            return RestoreFailedError(f"{said}; then {worse.message}", fix=worse.fix)
        running = ", and the products run on it" if self.replaces and self.topology.products else ""
        return type(error)(f"{said}; everything is as it was{running}", fix=error.fix)

    def _undo(self) -> None:
        if self.journal.state in _UNTOUCHED:
            return
        if self._inherited_stop:
            self._stop_again()
        if self.journal.state is not State.PUT_BACK:
            self._put_back()
        self._start(State.UNDONE)

    def _stop_again(self) -> None:
        """A stop of whoever died may be at work still: a product that answers yet would not be started, and end then."""
        if self.replaces:
            try:
                products.stop_all(self.topology, self.journal.entry.addresses, again=True)
            except MidtimeError as error:
                self.say(f"Nothing was replaced, so what could not be stopped goes on as it is: {error.message}")

    def _put_back(self) -> None:
        """In reverse order; one that cannot be put back keeps none of the others from it."""
        left, troubles, point = list(self.journal.entry.begun), {}, self._point
        for store in reversed(self.journal.entry.begun):
            self._about_to(State.PUTTING_BACK, left)
            try:
                open_store(self.topology, store).put_back(point.store(store), self.targets[store])
            except Exception as error:  # noqa: BLE001 - a driver's own, too: the others must go back all the same
                troubles[store] = error
                continue
            left.remove(store)
            self.say(f"{store} is as it was")
        if troubles:
            self._about_to(State.PUTTING_BACK, left)
            raise self._half_restored(troubles)
        self._about_to(State.PUT_BACK)

    def _half_restored(self, troubles: Mapping[str, Exception]) -> RestoreFailedError:
        said = "; ".join(
            f"store {store} (final name {self.targets[store].final}) could not be put back: {_text(error)}"
            for store, error in troubles.items()
        )
        others = ", ".join(store for store in self.targets if store not in troubles)
        stopped = "the products are stopped and MUST STAY SO, " if self.replaces else ""
        return RestoreFailedError(
            f"THE SET IS HALF RESTORED, {stopped}{said}" + (f"; as they were: {others}" if others else ""),
            fix="mend what is said of it: the run's `release` and then midtime__sweep, every minute, try again, and start the products",
        )

    # -- both -------------------------------------------------------------------------------------------------------------------------

    @cached_property
    def _point(self) -> RestorePoint:
        return self.catalog.load(self.lease.details["restore_point"])

    def _take_over(self) -> None:
        """Nobody who went on until now can write another entry after this one."""
        self._inherited_stop = self.journal.state is State.STOPPING
        if self.journal.state is State.NEW:
            self._require_lease()
        else:
            self._about_to(self.journal.state, self.journal.entry.begun)

    def _about_to(self, state: State, begun: Sequence[str] = (), known: Mapping[str, Sequence[str]] | None = None) -> None:
        """Write it down; then, and right before the act, make sure that nobody else goes on with this run."""
        self.journal.write(state, begun, known)
        self._require_lease()
        self.journal.require_newest()

    def _require_lease(self) -> None:
        self.lease = self.catalog.leases.renew(self.lease, WORKING)

    def _start(self, over: State) -> None:
        """Products, on a set that is whole; and see that they serve."""
        replaced = [store for store, target in self.targets.items() if target.aside and not target.node]
        if replaced and over is State.DONE:
            given_up.note(self.catalog, self.lease.name, replaced, self._point)
        self._end_histories(replaced)
        if self.replaces:
            products.start_all(self.topology)
            for line in products.require_serving(self.topology):
                self.say(line)
        self._about_to(over)

    def _end_histories(self, stores: Sequence[str]) -> None:
        """What was marked in the history of what gave way can be restored no more, also where it was put back."""
        ended = {store: open_store(self.topology, store).ends_history(self.targets[store]) for store in stores}
        for entry in self.catalog.entries() if any(ended.values()) else ():
            gone = (
                [part.store for part in entry.restore_point.stores if part.method == "pitr" and ended.get(part.store)]
                if entry.restore_point
                else []
            )
            if gone and entry.state not in (PointState.INVALID, PointState.EXPIRED):
                self.catalog.invalidate(entry.id, f"store {gone[0]}: {ended[gone[0]]}")
                self.say(f"Restore point {entry.id} cannot be restored any more: store {gone[0]}: {ended[gone[0]]}")


def _text(error: Exception) -> str:
    return error.message if isinstance(error, MidtimeError) else f"{type(error).__name__}: {error}"
