"""Counts for each request as far as its body says, a number in each step, and says how many sequences the step had."""

from __future__ import annotations

import os
import time

from mms.service import PredictionException


class Counter:
    def admit(self, request, context):
        order = request["body"]
        if "messages" in order:
            order = {"count": 3}
        if "refuse" in order:
            raise PredictionException(order["refuse"], 422)
        context.set_response_header(0, "x-admitted", context.get_request_id())
        context.set_response_content_type(0, "text/plain")
        return {"order": order, "at": 0}

    def step(self, active):
        time.sleep(0.001)
        parts = [self._part(sequence, len(active)) for sequence in active]
        if any("too few" in sequence.state["order"] for sequence in active):
            return parts[1:]
        return parts

    def _part(self, sequence, count):
        order, at = sequence.state["order"], sequence.state["at"]
        if at == order["count"]:
            if "wait for" in order and not os.path.exists(order["wait for"]):
                return None
            if "exit" in order:
                os._exit(order["exit"])
            if "raise" in order:
                raise ValueError(order["raise"])
            if "fail" in order:
                sequence.fail(PredictionException(order["fail"], 422))
            sequence.end()
            return None
        sequence.state["at"] += 1
        return f"{at}/{count}," + "x" * order.get("size", 0)

    def retire(self, sequence):
        if "retired" in sequence.state["order"]:
            with open(sequence.state["order"]["retired"], "a") as file:
                file.write(f"{sequence.state['at']};")
