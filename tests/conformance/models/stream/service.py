"""Answers each item with a stream, as its body says."""

from __future__ import annotations

import asyncio
import os
import time


def handle(data, context):
    if data is None:
        return None
    answers = []
    for index, item in enumerate(data):
        order = item["body"]
        if order.get("async"):
            answers.append(_chunks_later(order, context, index))
        elif "send" in order:
            for number in range(order["send"]):
                context.send_chunk(f"{number},", index)
            answers.append("end")
        else:
            answers.append(_chunks(order, context, index))
    return answers


def _chunks(order, context, index):
    try:
        if "type" in order:
            context.set_response_content_type(index, order["type"])
        if "raise at once" in order:
            raise ValueError(order["raise at once"])
        if "send late" in order:
            context.send_chunk(order["send late"], index)
        if "spend" in order:
            begun = time.perf_counter()
            time.sleep(order["spend"])
            yield str(time.perf_counter() - begun)
        for number in range(order.get("count", 0)):
            yield f"{number},"
        while "hold until" in order and not os.path.exists(order["hold until"]):
            time.sleep(0.005)
        yield from order.get("values", ())
        if "touch" in order:
            open(order["touch"], "w").close()
        while "wait for" in order and not os.path.exists(order["wait for"]):
            time.sleep(0.005)
            yield None
        if "exit" in order:
            os._exit(order["exit"])
        if "raise" in order:
            raise ValueError(order["raise"])
        if "size" in order:
            while True:
                yield "x" * order["size"]
        if "last" in order:
            yield context.get_request_id(index)
    except GeneratorExit:
        if "closed" in order:
            open(order["closed"], "w").close()
        raise


async def _chunks_later(order, context, index):
    for number in range(order["count"]):
        await asyncio.sleep(0.001)
        yield f"{number},"
    while _is_deaf(order):
        try:
            await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            pass
    yield context.get_request_id(index)


def _is_deaf(order):
    return "deaf until" in order and not os.path.exists(order["deaf until"])
