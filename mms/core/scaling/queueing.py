"""How many workers a load needs, by Erlang's formula for requests that wait for one of several servers."""

from __future__ import annotations

from math import ceil, exp


def late_share(workers: int, offered: float, service_s: float, limit_s: float) -> float:
    """Return the share of requests that wait longer than `limit_s`.

    `offered`: worker-seconds of work that come in a second. Erlang C: requests come independently of each other.
    """
    if offered >= workers:
        return 1.0
    if offered <= 0.0:
        return 0.0
    blocked = 1.0
    for count in range(1, workers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    share_waiting = blocked / (1.0 - offered / workers * (1.0 - blocked))
    return share_waiting * exp(-(workers - offered) * limit_s / service_s)


def workers_for(
    offered: float, service_s: float, limit_s: float, most_late: float, most: int
) -> int:
    """Return the fewest workers with which at most `most_late` of the requests wait longer than `limit_s`.

    At least 1, and `most` where so many are not enough.
    """
    workers = max(ceil(offered), 1)
    while workers < most and late_share(workers, offered, service_s, limit_s) > most_late:
        workers += 1
    return min(workers, most)
