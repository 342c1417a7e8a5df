"""What a login may do that is no superuser: on a managed server nobody else is to be had. Asked before it is needed."""

from __future__ import annotations

from typing import Any

from psycopg import Connection

from midtime.errors import StoreAccessError

Session = Connection[tuple[Any, ...]]
_ALLOW_LISTS = ("azure.extensions", "rds.allowed_extensions")
"""Settings in which services name the extensions that may be created; ``*`` is all of them."""
_UNAVAILABLE = "SELECT name FROM unnest(%s::text[]) name WHERE name NOT IN (SELECT name FROM pg_available_extensions) ORDER BY 1"
_LENT = """
    SELECT DISTINCT e.name FROM pg_available_extensions e JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
    WHERE e.name = ANY(%s) AND v.superuser AND NOT v.trusted AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) ORDER BY 1"""
_UNREACHABLE = """
    SELECT rolname FROM pg_roles WHERE rolname = ANY(%s) AND (NOT pg_has_role(oid, %s) OR rolname = ANY(%s))
      AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) ORDER BY 1"""
_REPLACING = "SELECT pg_has_role(datdba, 'USAGE'), pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"

_OWNED = """
    SELECT owner, nspowner FROM (
        SELECT 'pg_class'::regclass AS kind, oid, relowner AS owner, relnamespace AS schema FROM pg_class WHERE relpersistence <> 't'
        UNION ALL SELECT 'pg_proc'::regclass, oid, proowner, pronamespace FROM pg_proc
        UNION ALL SELECT 'pg_type'::regclass, oid, typowner, typnamespace FROM pg_type
        UNION ALL SELECT 'pg_namespace'::regclass, oid, nspowner, oid FROM pg_namespace) found
    JOIN pg_namespace n ON n.oid = schema
    WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' AND owner <> 'pg_database_owner'::regrole
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = kind AND d.objid = found.oid AND d.deptype = 'e')"""
# Those to whom a restore hands something over. Of what the first superuser owns pg_shdepend knows nothing.
_OWNERS = """
    SELECT pg_get_userbyid(owner) FROM (OWNED) owned
    UNION SELECT r.rolname FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid
    WHERE s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o' AND s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
    ORDER BY 1"""
# They own things in a schema that they got the right to use by a GRANT, which a restore gives back after the things.
_GUESTS = "SELECT DISTINCT pg_get_userbyid(owner) FROM (OWNED) owned WHERE NOT pg_has_role(owner, nspowner, 'USAGE') ORDER BY 1"
_EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' ORDER BY 1"


def described(session: Session) -> dict[str, list[str]]:
    """What a database asks of the login that restores it: ``owners`` of what is in it, ``guests`` among them, ``extensions``."""
    queries = {"owners": _OWNERS, "guests": _GUESTS, "extensions": _EXTENSIONS}
    asked = {key: query.replace("OWNED", _OWNED) for key, query in queries.items()}
    return {key: [name for (name,) in session.execute(query.encode())] for key, query in asked.items()}


def unreachable_owners(session: Session, described: dict[str, Any]) -> list[str]:
    """Owners of what is restored that are there, but to whom this login may not hand it over; a superuser may always."""
    may = "SET" if session.info.server_version >= 160000 else "MEMBER"
    return [name for (name,) in session.execute(_UNREACHABLE, (described.get("owners", []), may, described.get("guests", [])))]


def require_renamable(session: Session, name: str) -> None:
    """Only an owner may rename a database.

    :raises StoreAccessError: it is there, and this login may not; with the products stopped that is too late to be heard
    """
    row = session.execute(_REPLACING, (name,)).fetchone()
    if row and not row[0]:
        raise StoreAccessError(
            f"the login may not rename database {name!r}, which belongs to {row[1]!r}", fix=f'GRANT "{row[1]}" TO it, or restore beside'
        )


def check_extensions(session: Session, described: dict[str, Any]) -> str:
    """Whether the server has the extensions of the database, and lets them be created.

    :raises StoreAccessError: it has not, or does not
    """
    wanted: list[str] = described.get("extensions", [])
    if missing := [name for (name,) in session.execute(_UNAVAILABLE, (wanted,))]:
        raise StoreAccessError(
            f"the server has no extension {', '.join(missing)}", fix="install it there, or restore to a server that has it"
        )
    for setting in _ALLOW_LISTS:
        if refused := _not_listed(session, setting, wanted):
            raise StoreAccessError(
                f"the server does not allow the extension {', '.join(refused)}", fix=f"add it to {setting} of the server"
            )
    if lent := [name for (name,) in session.execute(_LENT, (wanted,))]:
        return f"{', '.join(wanted)}; a superuser's, unless the service creates them for us: {', '.join(lent)}"
    return ", ".join(wanted) or "none but the server's own"


def _not_listed(session: Session, setting: str, wanted: list[str]) -> list[str]:
    row = session.execute("SELECT current_setting(%s, true)", (setting,)).fetchone()
    if row is None or row[0] is None:
        return []  # not that service
    listed = {name.strip().lower() for name in row[0].split(",")}
    return [] if "*" in listed else [name for name in wanted if name.lower() not in listed]


def check_encrypted(session: Session) -> str:
    """Whether what a managed service sends us is encrypted on its way.

    :raises StoreAccessError: it is not, and nobody said that it need not be
    """
    if session.pgconn.ssl_in_use:
        return "TLS"
    if session.info.get_parameters().get("sslmode") == "disable":
        return "NOT ENCRYPTED, as the connection says (sslmode: disable)"
    raise StoreAccessError(
        f"{session.info.host} was reached without TLS", fix="set sslmode: verify-full (or require) in the data connection's extras"
    )
