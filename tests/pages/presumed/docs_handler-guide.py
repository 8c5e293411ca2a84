"""What the fragments of the page are part of."""

from mms.context import Context
from mms.metrics.metrics_store import MetricsStore

context = Context("m", "model_dir", None, 1, None, "test")
context.request_ids = {0: "a", 1: "b", 2: "c"}
context.metrics = MetricsStore(context.request_ids, "m")
data = [{"body": "x"}] * 3
answers = [None] * 3
