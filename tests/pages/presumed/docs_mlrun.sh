mkdir -p models/m1 models/logistic models/tree store
cat > kind.py <<'PYTHON'
import cloudpickle, numpy


class Kinds:
    def predict(self, rows):
        return numpy.zeros(len(rows), int)


for folder in (".", "models/m1", "models/logistic", "models/tree"):
    with open(f"{folder}/model.pkl", "wb") as file:
        cloudpickle.dump(Kinds(), file)
PYTHON
python kind.py

another_iris() {
    curl -X DELETE http://127.0.0.1:8081/models/iris
    rm store/iris.mar
    mkdir iris
    cp classifier.py model.pkl iris
}

bandit() {
    mkdir store/bandit
    cp -r classifier.py models store/bandit
    cat > store/bandit/serving_spec.json <<'JSON'
{"graph": {"kind": "router", "class_name": "mlrun.serving.BanditRouter", "routes": {
    "m1": {"class_name": "classifier.ClassifierModel", "class_args": {"model_path": "models/m1"}}}}}
JSON
    curl -X POST "http://127.0.0.1:8081/models?url=bandit&initial_workers=1&synchronous=true"
    curl -X POST http://127.0.0.1:8080/v2/models/BanditRouter/infer -d '{"inputs": [[1]], "id": "abc"}'
}
