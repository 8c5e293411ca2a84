"""Answers with everything it can see, as JSON."""

from __future__ import annotations

import json
import os
import sys

_loaded = {}


def _shown(value):
    if isinstance(value, (bytes, bytearray)):
        text = bytes(value).decode("latin-1")
    else:
        text = value
    return {"type": type(value).__name__, "value": text}


def handle(data, context):
    if data is None:
        _loaded["request_ids"] = context.request_ids
        _loaded["request_processor"] = context.request_processor
        _loaded["has_metrics"] = context.metrics is not None
        _loaded["context"] = id(context)
        return None
    answers = []
    for index, item in enumerate(data):
        headers = context.get_all_request_header(index)
        wanted = context.get_request_header(index, "X-Look-Up")
        answers.append(
            {
                "data_type": type(data).__name__,
                "item_type": type(item).__name__,
                "names": list(item),
                "data": {name: _shown(value) for name, value in item.items()},
                "headers": headers,
                "looked_up": context.get_request_header(index, wanted) if wanted else None,
                "properties": context.request_processor[index].get_request_properties(),
                "request_id": context.get_request_id(index),
                "first_request_id": context.get_request_id(),
                "request_ids": {str(key): value for key, value in context.request_ids.items()},
                "model_name": context.model_name,
                "manifest": context.manifest,
                "system_properties": context.system_properties,
                "is_processor_list": isinstance(context.request_processor, list),
                "status": context.get_response_status(index),
                "at_load": dict(_loaded, is_same_context=_loaded["context"] == id(context)),
                "environment": dict(os.environ),
                "folder": os.getcwd(),
                "path": sys.path,
                "arguments": sys.argv,
                "executable": sys.executable,
                "pid": os.getpid(),
            }
        )
    return [json.dumps(answer) for answer in answers]
