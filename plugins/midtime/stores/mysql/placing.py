"""Restored databases put in place of the live ones, and put back again.

A server knows no RENAME DATABASE, so the way there has several steps, of which one statement counts (:func:`databases.swap`). What each of
them makes is noted before it is made, in a table of our own beside the working copy: by that the way back removes what was made, and nothing
else. The table's name tells on which side of the statement that counts we are.

That statement may still wait on the server when the task that sent it is long dead, and move everything later. So the way back first takes the
table's name away, without which it fails; and databases are dropped only under a lock that such a session would still hold.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from midtime.errors import RestoreFailedError
from midtime.stores.mysql import content, databases, programs
from midtime.stores.mysql.connections import Session
from midtime.stores.mysql.notes import CLOSED, Notes, alone
from midtime.stores.mysql.programs import Program, quoted
from midtime.stores.mysql.stream import Table

log = logging.getLogger(__name__)

DATABASE, LIVE, RESTORED = "DATABASE", "LIVE", "RESTORED"
"""Kinds of notes, beside those of programs: a database that was made, a table that is moved aside, one that is moved into place."""
_DROPPED = ("TRIGGER", "EVENT", "VIEW", "PACKAGE BODY", "PACKAGE", "FUNCTION", "PROCEDURE")
"""In this order: a table with triggers cannot be renamed away."""


@dataclass(frozen=True, slots=True)
class Names:
    """The databases of one target, each mapping keyed by the original names."""

    working: Mapping[str, str]
    final: Mapping[str, str]
    aside: Mapping[str, str] = field(default_factory=dict)
    """Empty where nothing may be replaced."""

    @property
    def own(self) -> str:
        """The working database that has our table."""
        return self.working[min(self.working)]


def place(
    session: Session,
    names: Names,
    described: Sequence[Mapping[str, str]],
    create_programs: Callable[[Callable[[Sequence[Program]], object]], None],
) -> None:
    """Put the restored tables in place, and what was there aside; go on where an earlier try was killed.

    :param described: the databases' character sets
    :param create_programs: creates what is missing beside tables, and calls its argument with all of it before
    :raises TargetExistsError: tables appeared, and nobody approved of replacing them
    :raises StoreAccessError: the working copy is gone, or something holds the live tables where they are
    :raises StoreUnreachableError: somebody keeps hold of one of them
    """
    with alone(session, names.own):
        notes = Notes(session, names.own)
        notes.reopen()
        if not notes.moved:
            _make_room(session, names, notes, described)
            databases.swap(session, working=names.working, final=names.final, aside=names.aside or None, before=_noting(notes))
            notes = Notes(session, names.own)
        for before, after in ((names.final, names.aside), (names.working, names.final)):
            databases.follow_sequences(session, {before[name]: after[name] for name in after})
        create_programs(partial(_note_programs, notes))


def _note_programs(notes: Notes, wanted: Sequence[Program]) -> None:
    for kind in sorted({program.kind for program in wanted}):
        notes.add(kind, ((program.database, program.name) for program in wanted if program.kind == kind))


def _make_room(session: Session, names: Names, notes: Notes, described: Sequence[Mapping[str, str]]) -> None:
    databases.require_movable(session, working=names.working, final=names.final, approved=bool(names.aside))
    notes.begin()
    wanted = [*names.final.values(), *names.aside.values()]
    there = {each["name"] for each in content.described(session, wanted)}
    notes.add(DATABASE, ((name, "") for name in wanted if name not in there))
    for each in (names.final, names.aside):
        if each:
            databases.create(session, described, each)
    programs.drop_triggers(session, list(names.working.values()))


def _noting(notes: Notes) -> Callable[[Sequence[Table], Sequence[Table]], None]:
    def note(restored: Sequence[Table], live: Sequence[Table]) -> None:
        for kind, tables in ((RESTORED, restored), (LIVE, live)):
            notes.forget(kind)  # an earlier try may have found others
            notes.add(kind, tables)

    return note


def put_back(session: Session, names: Names) -> None:
    """Undo :func:`place`, however far it came; go on where an earlier try was killed.

    :raises RestoreFailedError: the working copy or something that was kept aside is gone; nothing was moved
    :raises StoreUnreachableError: somebody keeps hold of a table
    """
    with alone(session, names.own) as locked:
        notes = _moved_back(session, names)
        if notes is None:
            _refuse_without_notes(session, names)
            return
        for before, after in ((names.aside, names.final), (names.final, names.working)):
            databases.follow_sequences(session, {before[name]: after[name] for name in before})
        for name, _ in notes.of(DATABASE):
            _drop_if_empty(session, name, alone=locked)
        notes.remove()


def _moved_back(session: Session, names: Names) -> Notes | None:
    """The notes, once everything is where it was, and no statement that still waits can move it any more; None where there are none."""
    while (notes := Notes(session, names.own)).found != CLOSED:
        if notes.found is None:
            return None
        if notes.moved:
            _drop_programs(session, names, notes)
            restored, live = notes.of(RESTORED), notes.of(LIVE)
            databases.swap_back(session, working=names.working, final=names.final, aside=names.aside, restored=restored, live=live)
        else:
            notes.close()
    return notes


def _refuse_without_notes(session: Session, names: Names) -> None:
    """Nothing was begun, or all of it was put back; unless somebody removed the working copy, which says so."""
    if content.described(session, [names.own]):
        return
    if kept := databases.with_tables(session, names.aside.values()):
        raise RestoreFailedError(
            f"database {names.own!r} is gone, so it cannot be told whether {', '.join(kept)} holds the tables that were live",
            fix=f"look into it; if so, move them back to {', '.join(names.final.values())} by one RENAME TABLE",
        )


def _drop_programs(session: Session, names: Names, notes: Notes) -> None:
    for kind in _DROPPED:
        for database, name in notes.of(kind):
            if database in names.final.values():
                session.rows(f"DROP {kind} IF EXISTS {quoted(database)}.{quoted(name)}")


def _drop_if_empty(session: Session, name: str, *, alone: bool) -> None:
    """A database that was made for this restore; what somebody has put there since is not ours.

    :param alone: whether no session of ours can fill it between the look and the drop; an empty database does no harm, a dropped table does
    """
    if not alone:
        log.warning("Database %s was made for this restore and is left: this server has no locks that keep others out of it", name)
    elif content.tables(session, [name]) or programs.names(session, [name]):
        log.warning("Database %s was made for this restore and is left: somebody has put something there", name)
    else:
        session.rows(f"DROP DATABASE IF EXISTS {quoted(name)}")
