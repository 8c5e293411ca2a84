"""So many requests a second for each client."""

from __future__ import annotations

import pytest

from mms.security import RateLimit, client_of
from mms.security.rate_limit import _MAX_CLIENTS


def passed(limit: RateLimit, client: str, at_s: float, count: int) -> int:
    return sum(not limit.take(client, at_s) for _ in range(count))


def test_a_client_may_send_a_second_s_worth_at_once_and_then_as_it_says() -> None:
    limit = RateLimit(10)
    assert passed(limit, "a", 100.0, 50) == 10
    assert passed(limit, "a", 100.1, 50) == 1
    assert passed(limit, "a", 100.5, 50) == 4
    assert passed(limit, "a", 200.0, 50) == 10


def test_a_burst_may_be_another() -> None:
    assert passed(RateLimit(10, 3), "a", 0.0, 50) == 3
    assert passed(RateLimit(1, 30), "a", 0.0, 50) == 30


def test_a_limit_below_one_a_second_lets_one_through_at_a_time() -> None:
    limit = RateLimit(0.5)
    assert [limit.take("a", at_s) for at_s in (0.0, 1.0, 2.0)] == [0.0, pytest.approx(1.0), 0.0]


def test_clients_do_not_count_for_each_other() -> None:
    limit = RateLimit(1)
    assert [limit.take(client, 0.0) for client in "abc"] == [0.0] * 3


def test_over_a_long_time_exactly_the_rate_passes() -> None:
    limit = RateLimit(7, 1)
    passes = sum(not limit.take("a", step / 1000) for step in range(10_000))
    assert passes == pytest.approx(70, abs=2)


def test_who_comes_at_exactly_the_rate_is_never_refused() -> None:
    limit = RateLimit(3, 1)
    assert [limit.take("a", 1e6 + step / 3) for step in range(1000)] == [0.0] * 1000


def test_addresses_without_end_take_no_memory_without_end() -> None:
    limit = RateLimit(1000)
    for number in range(3 * _MAX_CLIENTS):
        limit.take(str(number), number / 1_000_000)
    assert len(limit._paid_until) <= _MAX_CLIENTS


def test_who_owes_is_not_forgotten_for_those_who_do_not() -> None:
    limit = RateLimit(1)
    for number in range(_MAX_CLIENTS - 1):
        limit.take(str(number), 0.0)
    assert passed(limit, "greedy", 1000.0, 5) == 1
    assert passed(limit, "new", 1000.1, 1) == 1
    assert passed(limit, "greedy", 1000.1, 5) == 0


@pytest.mark.parametrize(
    ("remote", "client"),
    [
        ("/127.0.0.1:64003", "127.0.0.1"),
        ("/[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("/[fe80::1%eth0]:443", "fe80::/64"),
        ("/[::ffff:10.1.2.3]:443", "10.1.2.3"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(remote: str, client: str) -> None:
    assert client_of(remote) == client
