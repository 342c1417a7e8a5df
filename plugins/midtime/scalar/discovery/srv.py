"""Endpoints from a DNS SRV record."""

from __future__ import annotations

from typing import NoReturn

from midtime.errors import DiscoveryAccessError, DiscoveryError

LIFETIME = 5.0
"""Seconds for the whole question, over all name servers: what comes later is of no use to a window."""


def targets(subject: str, record: str) -> tuple[str, ...]:
    """The ``host:port`` of every target, whatever its priority.

    Priority and weight tell a client whom to *prefer*. A pause has to reach whoever may be writing, so the spare ones count as well.

    :param subject: the product's name in reports
    :raises DiscoveryError: no name server answers, or none can tell
    :raises DiscoveryAccessError: there is no such record, or it says that the service is not offered
    """
    import dns.exception
    import dns.resolver

    try:
        answer = dns.resolver.resolve(record, "SRV", lifetime=LIFETIME, search=False)
    except dns.exception.DNSException as error:
        _refuse(subject, record, error)
    # One target, the root: "decidedly not available at this domain" (RFC 2782).
    found = {f"{str(each.target).rstrip('.').lower()}:{each.port}" for each in answer if len(each.target) > 1}
    if not found:
        raise DiscoveryAccessError(
            f"the SRV record {record} of product {subject} says that the service is not offered (its target is the root)",
            fix="correct the record, or `srv` in the topology",
        )
    return tuple(sorted(found))


def _refuse(subject: str, record: str, error: Exception) -> NoReturn:
    import dns.exception
    import dns.resolver

    what = f"the SRV record {record} of product {subject}"
    if isinstance(error, dns.resolver.NXDOMAIN | dns.resolver.NoAnswer | dns.resolver.YXDOMAIN):
        raise DiscoveryAccessError(
            f"{what} does not exist",
            fix=f"check with `dig SRV {record}`: the name is taken as it stands, no search domain is added; "
            "a headless Service lists only pods that are ready",
        ) from error
    if isinstance(error, dns.exception.SyntaxError | dns.exception.FormError):
        raise DiscoveryAccessError(f"{what} is no name that DNS knows: {error}", fix="correct `srv` in the topology") from error
    raise DiscoveryError(
        f"{what} cannot be looked up: {error}", fix="see why the worker's name servers do not answer, then try again"
    ) from error
