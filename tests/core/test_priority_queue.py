"""Classes of priority, deadlines, and waiting that is too long."""

from __future__ import annotations

import pytest

from mms.core import deadlines
from mms.core.priority_queue import HIGH, LOW, NORMAL
from mms.core.request_options import RequestOptions, read_request_options
from mms.errors import BadRequest, RequestTimeout, ServiceUnavailable
from mms.text.durations import LONGEST_S


def put(b, *priorities):
    """Requests of these classes, queued while the only worker is busy. Returns them."""
    b.enqueue(1)
    b.dispatch()
    b.workers[0].credits = 1
    requests = []
    for priority in priorities:
        request = b.request()
        request.priority = priority
        b.model.enqueue(request)
        requests.append(request)
    return requests


def order(b, requests):
    """The places of requests in the order in which they are sent."""
    places = []
    while b.workers[0].in_flight:
        b.finish(b.workers[0])
        b.workers[0].credits = 1
        for _, batch in b.model.dispatch(0.0):
            places += [requests.index(request) for request in batch.requests]
    return places


def test_the_more_urgent_are_sent_before_those_that_came_earlier(bench):
    b = bench(batch_size=1)
    requests = put(b, LOW, NORMAL, HIGH)
    assert order(b, requests) == [2, 1, 0]


def test_requests_of_one_class_keep_their_order(bench):
    b = bench(batch_size=1)
    requests = put(b, HIGH, HIGH, HIGH, HIGH)
    assert order(b, requests) == [0, 1, 2, 3]


def test_no_class_waits_for_ever_while_more_urgent_ones_keep_coming(bench):
    b = bench(batch_size=1, queue_capacity=1000)
    requests = put(b, LOW, *[HIGH] * 40, *[NORMAL] * 40)
    assert order(b, requests).index(0) < 9


def test_what_comes_in_a_class_of_its_own_waits_behind_what_was_queued_without_one(bench):
    b = bench(batch_size=1)
    requests = put(b, NORMAL, NORMAL, LOW)
    assert order(b, requests) == [0, 1, 2]


def test_what_a_lost_worker_had_is_tried_before_all_classes(bench):
    b = bench(workers=2, batch_size=1)
    requests = put(b, HIGH)
    first = b.workers[0]
    lost = first.in_flight[0].requests[0]
    b.model.dispatch(0.0)
    b.crash(first)
    assert b.model.queue[0] is lost
    assert requests[0].priority == HIGH


def test_a_cancelled_request_leaves_its_class(bench):
    b = bench(batch_size=1)
    requests = put(b, LOW, HIGH)
    b.model.cancel(requests[0])
    assert order(b, requests) == [1]
    assert b.model.unanswered.cancelled_queued == 1


def test_what_its_client_gives_up_at_its_deadline_counts_as_expired(bench):
    b = bench(batch_size=1)
    early, late = put(b, NORMAL, NORMAL)
    running = b.workers[0].in_flight[0].requests[0]
    for request in (early, late, running):
        request.deadline = 5.0
    b.model.cancel(early, 4.9)
    b.model.cancel(late, 4.99)
    assert b.model.cancel(running, 5.1) is b.workers[0]
    unanswered = b.model.unanswered
    assert (unanswered.cancelled_queued, unanswered.expired_queued) == (1, 1)
    assert (unanswered.cancelled_running, unanswered.expired_running) == (0, 1)


def test_a_queued_request_fails_at_its_deadline_and_is_never_sent(bench):
    b = bench(batch_size=1)
    b.enqueue(1)
    b.dispatch()
    b.workers[0].credits = 1
    late, other = b.request(deadline=1.0), b.request(deadline=3.0)
    b.model.enqueue(other)
    b.model.enqueue(late)
    assert b.model.deadline_at == 1.0
    assert deadlines.expire(b.model, 0.9) == []
    assert not late.is_done
    assert deadlines.expire(b.model, 1.0) == []
    assert late.is_done
    assert isinstance(b.reply.failures[0][1], RequestTimeout)
    assert list(b.model.queue) == [other]
    assert b.model.deadline_at == 3.0
    assert b.model.unanswered.expired_queued == 1


def test_a_running_request_fails_at_its_deadline_and_its_worker_is_named(bench):
    b = bench(batch_size=2)
    late, other = b.request(deadline=1.0), b.request()
    b.model.enqueue(late)
    b.model.enqueue(other)
    b.dispatch()
    assert deadlines.expire(b.model, 2.0) == [(b.workers[0], late)]
    assert [request for request, _ in b.reply.failures] == [late]
    assert b.model.deadline_at == 0
    b.finish(b.workers[0])
    assert [request for request, _, _ in b.reply.answers] == [other]
    assert b.model.unanswered.expired_running == 1


def test_a_model_s_own_timeout_counts_where_it_is_shorter(bench):
    b = bench(request_timeout_s=2.0)
    own, longer = b.request(now=1.0, deadline=1.5), b.request(now=1.0, deadline=9.0)
    none = b.request(now=1.0)
    for request in (own, longer, none):
        b.model.enqueue(request)
    assert [own.deadline, longer.deadline, none.deadline] == [1.5, 3.0, 3.0]


def test_what_would_wait_too_long_is_refused_at_once(bench):
    b = bench(batch_size=1, max_queue_s=1.0)
    b.workers[0].observe_service(0.4)
    b.enqueue(1)
    b.dispatch()
    b.workers[0].credits = 1
    b.enqueue(3)
    with pytest.raises(ServiceUnavailable) as refused:
        b.enqueue(1)
    assert refused.value.retry_after_s == 2
    assert b.model.unanswered.shed == 1
    assert b.model.unanswered.refused == 0


def test_what_has_waited_too_long_is_refused_then(bench):
    b = bench(batch_size=1, max_queue_s=1.0)
    b.enqueue(1)
    b.dispatch()
    b.workers[0].credits = 1
    (old,) = b.enqueue(1, now=1.0)
    (young,) = b.enqueue(1, now=2.0)
    deadlines.expire(b.model, 2.5)
    assert [request for request, _ in b.reply.failures] == [old]
    assert list(b.model.queue) == [young]


@pytest.mark.parametrize(
    ("name", "value", "options"),
    [
        (b"X-Request-Timeout", b"250", RequestOptions(0.25)),
        (b"Request-Timeout", b"1.5", RequestOptions(1.5)),
        (b"x-request-priority", b"High", RequestOptions(0.0, HIGH)),
        (b"x-request-priority", b"low", RequestOptions(0.0, LOW)),
        (b"X-Other", b"1", RequestOptions()),
        (b"x-request-timeout", b"5000000000", RequestOptions(5_000_000.0)),
        (b"x-request-timeout", b"9" * 5000, RequestOptions(LONGEST_S)),
        (b"request-timeout", b"1" * 400 + b".5", RequestOptions(LONGEST_S)),
    ],
)
def test_headers_say_the_options_of_a_request(name, value, options):
    assert read_request_options([(name, value)]) == options


def test_of_two_timeouts_the_shorter_one_counts():
    both = [(b"x-request-timeout", b"2000"), (b"request-timeout", b"1")]
    assert read_request_options(both).timeout_s == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-request-timeout", b"0"),
        (b"x-request-timeout", b"1.5"),
        (b"x-request-timeout", b"-1"),
        (b"request-timeout", b"soon"),
        (b"request-timeout", b"inf"),
        (b"request-timeout", b"0.0"),
        (b"x-request-priority", b"urgent"),
    ],
)
def test_a_term_that_is_none_is_refused_by_its_header_s_name(name, value):
    with pytest.raises(BadRequest, match=name.decode()):
        read_request_options([(name, value)])
