"""Answers each item with what its batch was like."""

from __future__ import annotations

import os
import time


def handle(data, context):
    if data is None:
        return None
    bodies = [item["body"] for item in data]
    for body in bodies:
        if "touch" in body:
            with open(body["touch"], "w"):
                pass
        while "wait for" in body and not os.path.exists(body["wait for"]):
            time.sleep(0.005)
        if "raise" in body:
            raise ValueError(body["raise"])
        if "exit" in body:
            os._exit(body["exit"])
    answers = []
    for index, body in enumerate(bodies):
        if "status" in body:
            context.set_response_status(body["status"], idx=index)
        answer = {
            "id": body["id"],
            "index": index,
            "ids": [other["id"] for other in bodies],
            "size": len(data),
            "pid": os.getpid(),
            "request_id": context.get_request_id(index),
            "batch_size": context.system_properties["batch_size"],
        }
        answers.append({1, 2} if "bad result" in body else answer)
    return answers
