"""Asks the model with Triton's client, which sends tensors in binary. It needs `tritonclient[http]`."""

from __future__ import annotations

import sys

import numpy as np
import tritonclient.http as triton

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8080"
irises = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)

with triton.InferenceServerClient(address) as client:
    given = triton.InferInput("x", irises.shape, "FP32")
    given.set_data_from_numpy(irises)
    answer = client.infer("iris", [given])
    print(answer.as_numpy("name").tolist())
