"""The exception that handlers fail a batch with, and the name of the metric that tells how long a batch took."""

from __future__ import annotations

from mms.service import PREDICTION_METRIC as PREDICTION_METRIC
from mms.service import PredictionException as PredictionException
from mms.service import emit_metrics as emit_metrics
