"""Which machines a webhook may be sent to."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from trainyard.notify.addresses import AddressRefused, check


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "fec0::1",
        "::127.0.0.1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(AddressRefused, match="no public address"):
        check("h.example.org", [address], ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_public_addresses_may_be_used(address: str) -> None:
    check("h.example.org", [address], ())


def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    with pytest.raises(AddressRefused, match=r"10\.0\.0\.1"):
        check("h.example.org", ["93.184.216.34", "10.0.0.1"], ())


def test_a_network_that_is_allowed_may_be_used_and_no_other() -> None:
    allowed = [ip_network("10.1.0.0/16")]
    check("h", ["10.1.2.3"], allowed)
    check("h", ["::ffff:10.1.2.3"], allowed)
    with pytest.raises(AddressRefused):
        check("h", ["10.2.0.1"], allowed)
