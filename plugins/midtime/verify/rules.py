"""The rules, each a function from what was read to a finding. Nothing here reads, counts or remembers.

"Known" means a COMMITTED row in some Coordinator. A finding is torn only where no way of working that the topology declares can lead
there; where ScalarDB could have left the same records behind, it is unexplained; where it says so by itself, it is good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from midtime.verify.coordinators import Decision
from midtime.verify.facts import Bounds, TopologyFacts
from midtime.verify.records import CoordinatorRow, FenceObservation, Record, TxState
from midtime.verify.suspects import Suspect
from midtime.verify.verdict import Finding, Reason, Rule, Severity

EARLY_RESTORE = "not proven against a restore that lands too early"
_LATE = "restored too late, or a ScalarDB process has touched it since"


def stamps(record: Record, facts: TopologyFacts, bounds: Bounds) -> Finding | None:
    """A record prepared after everything was paused is torn; one that was only made final since then is lazy recovery."""
    limit = bounds.start_ms + facts.clock_bound_ms
    if record.prepared_at is not None and record.prepared_at > limit:
        text = f"prepared {record.prepared_at - bounds.start_ms} ms after the start, more than the clock bound of {facts.clock_bound_ms} ms"
        return _of_record(Rule.STAMP, _stamp_severity(bounds), text, record)
    if record.committed_at is None or record.committed_at <= limit:
        return None
    if record.committed_at > bounds.last_ms + facts.clock_bound_ms:
        # Its transaction is old enough, yet somebody wrote here when the set was already closed.
        text = f"made final {record.committed_at - bounds.last_ms} ms after the end: {_LATE}"
        return _of_record(Rule.STAMP_AFTER_END, _stamp_severity(bounds, Severity.UNEXPLAINED), text, record)
    return _of_record(Rule.LAZY_RECOVERY, Severity.NOTE, "made final inside the window by lazy recovery", record)


def _stamp_severity(bounds: Bounds, otherwise: Severity = Severity.TORN) -> Severity:
    """One snapshot cannot be torn by a stamp: there it only shows that a product's clock runs ahead by more than the topology says."""
    return Severity.NOTE if bounds.single_snapshot else otherwise


def row_stamp(coordinator: str, row: CoordinatorRow, facts: TopologyFacts, bounds: Bounds) -> Finding | None:
    """A commit after everything was paused is torn; an abort may be lazy recovery of a transaction whose client died."""
    if row.created_at is None or row.created_at <= bounds.start_ms + facts.clock_bound_ms:
        return None
    after = f"{row.created_at - bounds.start_ms} ms after the start"
    place = {"store": coordinator, "tx_id": row.tx_id}
    if row.state == TxState.COMMITTED:
        text = f"committed {after}, more than the clock bound of {facts.clock_bound_ms} ms"
        return Finding(Rule.STAMP, _stamp_severity(bounds), text, **place)
    if row.created_at > bounds.last_ms + facts.clock_bound_ms:
        return Finding(Rule.STAMP_AFTER_END, _stamp_severity(bounds, Severity.UNEXPLAINED), f"aborted {after}: {_LATE}", **place)
    return Finding(Rule.LAZY_RECOVERY, Severity.NOTE, f"aborted {after} by lazy recovery", **place)


def odd_state(record: Record) -> Finding | None:
    """A combination of ``tx_id`` and ``tx_state`` that ScalarDB never writes into a record."""
    usual = (None, TxState.COMMITTED) if record.tx_id is None else (TxState.PREPARED, TxState.DELETED, TxState.COMMITTED)
    if record.tx_state in usual:
        return None
    text = f"tx_state is {record.tx_state}" + (" without a tx_id" if record.tx_id is None else "")
    return _of_record(Rule.ODD_STATE, Severity.UNEXPLAINED, text, record)


def contradiction(record: Record, decision: Decision) -> Finding:
    """Committed by one Coordinator and aborted by another: lazy recovery through the second has rolled back what the first had committed."""
    said = ", ".join(f"{state.name} in {name}" for name, state in sorted(decision.states.items()))
    text = f"the Coordinators contradict each other, so part of it may be rolled back in the living system as well: {said}"
    return _of_record(Rule.CONTRADICTION, Severity.TORN, text, record)


def suspect(case: Suspect, facts: TopologyFacts, bounds: Bounds, oldest_row: int | None) -> Finding | Reason | None:
    """What a transaction without a COMMITTED row is: a tear, a riddle, legitimate, or merely in flight (``None``).

    :param oldest_row: the oldest ``tx_created_at`` of a Coordinator that may have been re-created, epoch milliseconds
    """
    if case.committed is None:
        return _in_flight_only(case, facts)
    if case.in_flight is not None:
        row = "an ABORTED" if case.aborted else "no"
        text = f"COMMITTED here, in flight in {_place(case.in_flight)}, and the Coordinator has {row} row: it would be rolled back there"
        return _of_record(Rule.HALF_COMMITTED, Severity.TORN, text, case.committed)
    return _why_legitimate(case, facts, bounds, oldest_row) or _unknown(case, case.committed, facts)


def _in_flight_only(case: Suspect, facts: TopologyFacts) -> Finding | None:
    if not facts.purge or case.aborted or case.in_flight is None:
        return None
    # Made final and purged between two captures it would look the same; capturing the Coordinator first is what excludes that.
    text = "in flight without a row in a topology that purges rows: right to roll back only if the Coordinator was captured first"
    return _of_record(Rule.PURGE_IN_FLIGHT, Severity.NOTE, text, case.in_flight)


def _why_legitimate(case: Suspect, facts: TopologyFacts, bounds: Bounds, oldest_row: int | None) -> Reason | None:
    if case.aborted:
        return Reason.ABORTED_ROW  # rows never change, so no tear can turn COMMITTED into ABORTED: it was put after the row was removed
    if facts.one_phase_commit and case.one_phase and case.elsewhere is None:
        return Reason.ONE_PHASE
    if case.latest_ms is None:
        return None
    if facts.coordinator_recreated and oldest_row is not None and case.latest_ms < oldest_row + 2 * facts.clock_bound_ms:
        return Reason.RECREATED  # two bounds: the two stamps may come from two products
    if facts.purge and case.latest_ms <= bounds.start_ms + facts.clock_bound_ms:
        return Reason.PURGED
    return None


def _unknown(case: Suspect, record: Record, facts: TopologyFacts) -> Finding:
    if case.elsewhere is not None:
        text = f"COMMITTED here and in {_place(case.elsewhere)}, but no Coordinator knows the transaction"
        return _of_record(Rule.TWO_STORES, Severity.TORN, text, record)
    text = f"COMMITTED in {case.committed_records} record(s), but no Coordinator knows the transaction"
    if facts.rows_are_complete and not case.one_phase:
        return _of_record(Rule.UNKNOWN, Severity.TORN, text, record)
    if case.one_phase and not facts.one_phase_commit:
        text += "; it is shaped like a one-phase commit, which the topology does not declare"
    return _of_record(Rule.UNKNOWN, Severity.UNEXPLAINED, text, record)


def fences(observations: Iterable[FenceObservation]) -> Iterator[Finding]:
    """The row written at the window's beginning must be there, the one written after the unpause must not."""
    for seen in observations:
        if not seen.before_present:
            text = "restored too early: the fence row from the beginning of the window is missing"
            yield Finding(Rule.FENCE, Severity.TORN, text, store=seen.store)
        if seen.after_present:
            text = "restored too late: it holds the fence row from after the window"
            yield Finding(Rule.FENCE, Severity.TORN, text, store=seen.store)


def fence_notes(stores: Collection[str], facts: TopologyFacts, bounds: Bounds, observations: Iterable[FenceObservation]) -> Iterator[str]:
    """What the fences leave unproven. A single dump is restored as a whole: there is no point in time to miss."""
    if bounds.single_snapshot:
        return
    unseen = sorted(set(stores) - {seen.store for seen in observations})
    if not facts.fence:
        yield EARLY_RESTORE
    elif unseen:
        yield f"{EARLY_RESTORE}: no fence was looked for in {', '.join(unseen)}"


def missing_coordinator(name: str) -> Finding:
    """Without its Coordinator every transaction in flight would be rolled back, whatever became of it."""
    return Finding(Rule.NO_COORDINATOR, Severity.TORN, "the restored set holds no Coordinator table", store=name)


def _of_record(rule: Rule, severity: Severity, text: str, record: Record) -> Finding:
    return Finding(rule, severity, text, record.store, record.table, record.key, record.tx_id or "")


def _place(record: Record) -> str:
    return f"{record.store} {record.table}[{record.key}]"
