"""How many connections a worker takes, of all clients and of one address."""

import resource

import pytest

from modelyard.web.connection_limits import ConnectionLimits

FULL = "the server has its maximum of {} connections; try again later"
ADDRESS_FULL = "your address has its maximum of {} connections; close some first"


def test_a_connection_over_the_maximum_of_all_is_refused() -> None:
    limits = ConnectionLimits(3, 2)

    assert ["", "", "", FULL.format(3)] == [limits.add(f"192.0.2.{number}") for number in range(4)]
    assert 1 == limits.count_excess("192.0.2.0")
    limits.remove("192.0.2.3")
    assert 0 == limits.count_excess("192.0.2.0")
    limits.remove("192.0.2.2")
    assert "" == limits.add("192.0.2.9")


@pytest.mark.parametrize(
    ("connections_max", "chosen", "per_address"), [(40, 7, 7), (40, 0, 10), (3, 0, 1), (1_000_000_000, 5, 5)]
)
def test_a_connection_over_the_maximum_of_an_address_is_refused(
    connections_max: int, chosen: int, per_address: int
) -> None:
    limits = ConnectionLimits(connections_max, chosen)
    answers = [limits.add("192.0.2.1") for _ in range(per_address + 1)]

    assert [*[""] * per_address, ADDRESS_FULL.format(per_address)] == answers
    assert 1 == limits.count_excess("192.0.2.1")
    assert "" == limits.add("192.0.2.2")
    limits.remove("192.0.2.1")
    limits.remove("192.0.2.1")
    assert "" == limits.add("192.0.2.1")


@pytest.mark.parametrize("address", ["", "127.0.0.1", "127.9.9.9", "::1", "198.51.100.7"])
def test_this_machine_and_trusted_proxies_have_no_limit_of_an_address(address: str) -> None:
    limits = ConnectionLimits(20, 1, "198.51.100.0/24")

    assert {""} == {limits.add(address) for _ in range(20)}
    assert 0 == limits.count_excess(address)
    assert FULL.format(20) == limits.add(address)
    assert 1 == limits.count_excess(address)


@pytest.mark.parametrize(("descriptors", "connections"), [(100, 75), (1_024, 768), (2_000, 1_744), (4, 3), (1, 1)])
def test_some_descriptors_are_left_for_files(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, connections: int
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))

    assert connections == ConnectionLimits(10**9).connections_max


def test_without_a_limit_of_descriptors_there_are_about_a_million(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    assert 2**20 - 256 == ConnectionLimits(10**9).connections_max


def test_the_addresses_of_an_ipv6_network_are_one_client() -> None:
    limits = ConnectionLimits(40, 2)

    assert ["", "", ADDRESS_FULL.format(2)] == [limits.add(f"2001:db8::{number}") for number in range(3)]
    assert "" == limits.add("2001:db8:0:1::1")
    for number in range(2):
        limits.remove(f"2001:db8::{number}")
    assert "" == limits.add("2001:db8::9")
