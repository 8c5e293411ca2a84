"""The worker process: loads one model, runs its entry point on batches. Started as `python -m mms.worker`.

Everything here starts in every worker, so imports are few, and late where they are for rare cases.
"""

from __future__ import annotations
