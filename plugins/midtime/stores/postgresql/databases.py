"""Databases on a PostgreSQL server: made, measured, renamed into place and dropped."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from psycopg import Connection, sql
from psycopg.errors import DuplicateDatabase, InsufficientPrivilege, ObjectInUse

from midtime.errors import RestoreFailedError, StoreAccessError, StoreUnreachableError, TargetExistsError

Session = Connection[tuple[Any, ...]]

# The provider's own locale moved from column to column: daticulocale in 15 and 16, datlocale since 17; a row as JSON has whichever there is.
_PROPERTIES = """
    SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, to_jsonb(d)
    FROM pg_database d WHERE datname = current_database()"""
_LISTS = ("local_preload_libraries", "search_path", "session_preload_libraries", "shared_preload_libraries", "temp_tablespaces")
_PROVIDERS = {"i": ("icu", "ICU_LOCALE"), "b": ("builtin", "BUILTIN_LOCALE")}
_SETTINGS = """
    SELECT r.rolname, setting
    FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) setting
    WHERE d.datname = current_database() ORDER BY 1, 2"""
_GRANTS = """
    SELECT coalesce(r.rolname, 'public'), a.privilege_type, a.is_grantable
    FROM pg_database d, aclexplode(d.datacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE d.datname = current_database() ORDER BY 1, 2"""
_REPLACED = ", replacing the database with oid "
"""Between what is written onto a restored database, and the one that it replaced: a name alone may be somebody else's by now."""
# Owners and grantees of anything in this database: what a restore needs to exist to keep them.
_ROLES = """
    SELECT DISTINCT r.rolname FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
      AND (s.dbid <> 0 OR s.objid = (SELECT oid FROM pg_database WHERE datname = current_database()))
    UNION SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
    ORDER BY 1"""


def properties(session: Session) -> dict[str, Any]:
    """What ``pg_dump`` leaves out of a database: encoding, locale, owner, settings, privileges, and the roles that its objects name."""
    row = session.execute(_PROPERTIES).fetchone()
    if row is None:
        raise StoreUnreachableError("the database vanished while it was being described")
    return {
        "owner": row[0],
        "encoding": row[1],
        "collate": row[2],
        "ctype": row[3],
        "locale_provider": row[4].get("datlocprovider"),
        "locale": row[4].get("datlocale") or row[4].get("daticulocale"),
        "settings": [list(each) for each in session.execute(_SETTINGS)],
        "grants": [list(each) for each in session.execute(_GRANTS)],
        "roles": [name for (name,) in session.execute(_ROLES)],
    }


def exists(session: Session, name: str) -> bool:
    """Whether the server has a database of that name."""
    return session.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def missing_roles(session: Session, described: dict[str, Any]) -> list[str]:
    """Roles that the restored objects name and this server lacks."""
    known = {name for (name,) in session.execute("SELECT rolname FROM pg_roles")}
    return sorted(set(described.get("roles", ())) - known)


def create(session: Session, name: str, described: dict[str, Any], *, owners: bool) -> None:
    """An empty database shaped like the one that was described.

    :raises TargetExistsError: the name is taken
    :raises StoreAccessError: this login may not create databases
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {} {}").format(
        sql.Identifier(name), *(sql.Literal(described[key]) for key in ("encoding", "collate", "ctype")), _provider(session, described)
    )
    try:
        session.execute(statement)
        if owners:
            session.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), sql.Identifier(described["owner"])))
    except DuplicateDatabase:
        raise TargetExistsError(f"database {name!r} exists already", fix="choose another target") from None
    except InsufficientPrivilege as error:
        raise StoreAccessError(
            f"cannot create database {name!r}: {error}", fix="grant CREATEDB (and the owner's role) to the connection's login"
        ) from error


def _provider(session: Session, described: dict[str, Any]) -> sql.Composable:
    provider = described.get("locale_provider")
    if provider in _PROVIDERS:
        keyword, option = _PROVIDERS[provider]
        return sql.SQL("LOCALE_PROVIDER {} {} {}").format(sql.SQL(keyword), sql.SQL(option), sql.Literal(described["locale"]))
    # The C library's, whose locale has been given; said aloud where template0 may have another provider.
    return sql.SQL("LOCALE_PROVIDER libc" if session.info.server_version >= 150000 else "")


def apply_settings(session: Session, name: str, described: dict[str, Any]) -> list[str]:
    """Give a database the settings of the one that was described, but those of roles that this server lacks.

    :return: those that this login may not give it
    """
    refused = []
    database, missing = sql.Identifier(name), set(missing_roles(session, described))
    for role, setting in described.get("settings", ()):
        if role in missing:
            continue
        key, _, value = setting.partition("=")
        subject = (
            sql.SQL("ALTER ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
            if role
            else sql.SQL("ALTER DATABASE {}").format(database)
        )
        try:
            session.execute(sql.SQL("{} SET {} TO {}").format(subject, sql.SQL(_setting_name(key)), _setting_value(key, value)))
        except InsufficientPrivilege:
            refused.append(f"{key} of role {role}" if role else key)
    return refused


def _setting_value(key: str, value: str) -> sql.Composable:
    # As one literal, a list would become a single name with commas in it (pg_dump's makeAlterConfigCommand knows the same list).
    items = next(csv.reader([value], skipinitialspace=True), []) if key.lower() in _LISTS else [value]
    return sql.SQL(", ").join(sql.Literal(item) for item in items or [""])


def apply_grants(session: Session, name: str, described: dict[str, Any]) -> None:
    """Give a database the privileges of the one that was described; its roles must exist."""
    database = sql.Identifier(name)
    if described.get("grants"):
        session.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    for role, privilege, grantable in described.get("grants", ()):
        grantee = sql.SQL("PUBLIC") if role == "public" else sql.Identifier(role)
        option = sql.SQL(" WITH GRANT OPTION" if grantable else "")
        session.execute(sql.SQL("GRANT {} ON DATABASE {} TO {}{}").format(sql.SQL(_privilege(privilege)), database, grantee, option))


def mark(session: Session, name: str, text: str) -> None:
    """Write onto a database where it comes from."""
    session.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text)))


def marked(session: Session, name: str) -> str | None:
    """What was written onto a database; None when there is no such database, or nothing on it."""
    row = session.execute("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (name,)).fetchone()
    return row[0] if row else None


def _setting_name(key: str) -> str:
    if not all(part.isidentifier() for part in key.split(".")):
        raise ValueError(f"{key!r} is not the name of a setting")
    return key


def _privilege(name: str) -> str:
    if name not in ("CREATE", "CONNECT", "TEMPORARY"):
        raise ValueError(f"{name!r} is not a privilege of a database")
    return name


def drop(session: Session, name: str) -> None:
    """Remove a database and whoever is connected to it; one that is not there is as good."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    try:
        session.execute(sql.SQL("{} WITH (FORCE)").format(statement))
    except InsufficientPrivilege:
        session.execute(statement)  # whom it may not end is an autovacuum worker, which gives way by itself


def swap(session: Session, evictor: Session, *, working: str, final: str, aside: str, origin: str = "") -> None:
    """Rename ``final`` to ``aside`` and ``working`` to ``final``, both or neither. ``final`` need not exist.

    Nothing else is changed on the way: a process that dies here leaves the live database open to its users.

    :param evictor: another session, which ends those of others meanwhile
    :param aside: empty where nothing may be replaced
    :param origin: what is written onto the restored database, together with the one that it replaced: :func:`swap_back` goes by it
    :raises TargetExistsError: ``final`` appeared, and nobody approved of replacing it
    :raises StoreUnreachableError: somebody keeps hold of one of them
    """
    replaced = _oid(session, final)
    if replaced and not aside:
        raise TargetExistsError(f"database {final!r} appeared since the run was planned", fix="choose another target and start a new run")
    renames = [(final, aside), (working, final)] if replaced else [(working, final)]
    _rename(session, evictor, renames, {final: _replacing(origin, replaced)} if origin else {})


def swapped(session: Session, final: str, origin: str) -> bool:
    """Whether ``final`` is the very database that :func:`swap` put there, for this restore."""
    return (marked(session, final) or "").partition(_REPLACED)[0] == origin


def swap_back(session: Session, evictor: Session, *, working: str, final: str, aside: str, origin: str) -> None:
    """Undo :func:`swap`, both renames or neither; nothing is done where it has not happened.

    :raises RestoreFailedError: what was kept aside is gone, or is another database; nothing was changed
    :raises StoreUnreachableError: somebody keeps hold of one of them
    """
    if not swapped(session, final, origin):
        return
    _, _, kept = (marked(session, final) or "").partition(_REPLACED)
    if kept and str(_oid(session, aside)) != kept:
        raise RestoreFailedError(
            f"database {final!r} is the restored one, and {aside!r}, which was kept, is gone or is another one",
            fix=f"find what became of {aside!r} (its oid was {kept}), rename it to {final!r} by hand, then run again",
        )
    _rename(session, evictor, [(final, working), *([(aside, final)] if kept else [])], {working: origin})


def _oid(session: Session, name: str) -> int | None:
    row = session.execute("SELECT oid FROM pg_database WHERE datname = %s", (name,)).fetchone()
    return row[0] if row else None


def _replacing(origin: str, replaced: int | None) -> str:
    return f"{origin}{_REPLACED}{replaced}" if replaced else origin


def _rename(session: Session, evictor: Session, renames: list[tuple[str, str]], marks: dict[str, str]) -> None:
    """All renames and marks (by the new names), or none of them."""
    oids = [oid for (oid,) in session.execute("SELECT oid FROM pg_database WHERE datname = ANY(%s)", ([old for old, _ in renames],))]
    try:
        with _evicting(evictor, oids), session.transaction():
            for old, new in renames:
                session.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))
            for name, text in marks.items():
                mark(session, name, text)
    except ObjectInUse as error:
        names = " or ".join(repr(old) for old, _ in renames)
        raise StoreUnreachableError(f"database {names} is in use: {error}", fix="stop whoever connects to it, then run again") from error


@contextmanager
def _evicting(evictor: Session, oids: list[int]) -> Iterator[None]:
    """A rename locks new sessions out and waits five seconds for the others: they are ended in that time, however fast they came back before."""
    stop = threading.Event()

    def evict() -> None:
        while not stop.is_set():
            for (pid,) in evictor.execute("SELECT pid FROM pg_stat_activity WHERE datid = ANY(%s)", (oids,)).fetchall():
                with suppress(InsufficientPrivilege):  # a superuser's, who may be the service itself: the others still go
                    evictor.execute("SELECT pg_terminate_backend(%s)", (pid,))
            stop.wait(0.1)

    thread = threading.Thread(target=evict, name="evict", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
