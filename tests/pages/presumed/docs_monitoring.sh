mkdir -p /var/log/models
echo_model iris
serve

# What a week of requests to the model that the page tracks leaves behind.
records_of_iris() {
    python - <<'PYTHON'
import json, os, random

import numpy, yaml

names = ["sepal_length", "sepal_width"]
rows = [[random.gauss(5.8, 0.8), random.gauss(3.0, 0.4)] for _ in range(1000)]
record = {"model": "iris", "version": "1.0", "op": "predict", "resp": {"outputs": [0]}}
for path in ("/var/log/models/iris.jsonl", "records.jsonl"):
    with open(path, "w") as file:
        for row in rows:
            request = {"inputs": [row], "names": names}
            file.write(json.dumps(record | {"request": request}) + "\n")
stats = {}
for name, column in zip(names, zip(*rows)):
    counts, edges = numpy.histogram(column, bins=20)
    stats[name] = {"hist": [counts.tolist(), edges.tolist()]}
with open("model_spec.yaml", "w") as file:
    yaml.safe_dump({"spec": {"feature_stats": stats}}, file)
with open("train.csv", "w") as file:
    file.write("\n".join([",".join(names), *(",".join(map(str, row)) for row in rows)]) + "\n")
PYTHON
    curl -X DELETE http://127.0.0.1:8081/models/iris || true
    curl -X POST http://127.0.0.1:8081/models -H "Content-Type: application/json" \
        -d "{'url': 'iris.mar', 'initial_workers': 1, 'tracking': {'path': 'memory://', 'reference': '$PWD/model_spec.yaml'}}"
    curl -X POST http://127.0.0.1:8080/predictions/iris -H "Content-Type: application/json" -d '{"inputs": [[5.1, 3.5]]}'
}
