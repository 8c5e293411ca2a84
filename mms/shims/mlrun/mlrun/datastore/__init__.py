"""Files and objects by their addresses."""

from __future__ import annotations

from mms.mlrun.stand_in import offer

__getattr__, __dir__ = offer(
    __name__,
    {
        "DataItem": "mms.mlrun.data_item",
        "get_store_resource": "mms.mlrun.datastore",
        "is_store_uri": "mms.mlrun.datastore",
        "get_stream_pusher": "mms.mlrun.streams",
        "base": ".datastore.base",
    },
)
