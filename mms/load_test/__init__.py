"""A load generator for HTTP/1.1: requests that are due at times of their own, whatever becomes of those before them.

    target = Target("127.0.0.1", 8080)
    requests = [LoadRequest("/predictions/ocr", body, {"Content-Type": "image/jpeg"})]
    result = await run_load(target, requests, PoissonArrivals(200.0), duration_s=10.0, warm_up_s=1.0)
    result.latencies.percentile(0.99)  # seconds, counted from when a request was due
    result.holds(LatencyGoal(0.050))

A latency is counted from the time at which the schedule has the request, not from when a connection was free to send
it. So a server that stalls is charged with all requests that were due meanwhile (no coordinated omission).
`RateSearch` finds the highest rate at which a goal holds; `find_highest_rate` does the measuring, too.
"""

from mms.load_test.goal import LatencyGoal
from mms.load_test.latencies import LatencyHistogram
from mms.load_test.plan import FirstAnswer, LoadPlan
from mms.load_test.rate_search import RateSearch
from mms.load_test.requests import LoadRequest, Target
from mms.load_test.results import Interval, LoadResult
from mms.load_test.runner import run_load
from mms.load_test.saturation import RateTrial, Saturation, find_highest_rate
from mms.load_test.schedules import ClosedLoop, ConstantArrivals, PoissonArrivals, Schedule

__all__ = [
    "ClosedLoop",
    "ConstantArrivals",
    "FirstAnswer",
    "Interval",
    "LatencyGoal",
    "LatencyHistogram",
    "LoadPlan",
    "LoadRequest",
    "LoadResult",
    "PoissonArrivals",
    "RateSearch",
    "RateTrial",
    "Saturation",
    "Schedule",
    "Target",
    "find_highest_rate",
    "run_load",
]
