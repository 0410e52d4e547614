"""Which machines a webhook may be sent to: no private one, unless the settings allow it.

A URL comes from whoever may create a process. It must not make the operator knock at machines
that only the operator can reach. So the addresses are looked at to which the connection is made,
not names, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Network = IPv4Network | IPv6Network
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """Nothing is sent to this machine; one sentence says why."""


def check(host: str, addresses: Sequence[str], allowed: Sequence[Network]) -> None:
    """Refuse a host if one of its addresses is private, of this machine or of no machine.

    Raises
    ------
    AddressRefused
        Naming host and address.
    """
    for text in addresses:
        # A link-local address may carry the name of an interface.
        address = ip_address(text.partition("%")[0])
        inner = _inner(address)
        if any(one in network for network in allowed for one in (address, inner)):
            continue
        if not _is_public(inner):
            raise AddressRefused(
                f"{host} is {address}, which is no public address: nothing is sent there unless "
                "notifications.webhook.allowedNetworks of the operator's settings has its network"
            )


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    # Site-local addresses were private before those of today; routers may still know them.
    if isinstance(address, IPv6Address) and address.is_site_local:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address leads to, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


class GuardedResolver(AbstractResolver):
    """Looks names up as the system does, and gives only addresses that may be connected to."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of a host.

        Raises
        ------
        AddressRefused
            If one of them may not be connected to.
        OSError
            If it has none.
        """
        found: list[Any] = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
        )
        check(host, [address[0] for *_, address in found], self._allowed)
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""
