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

documents() {
    multi-model-server --stop
    mkdir -p src store/folder
    cat > classes.py <<'PYTHON'
import mlrun


class Echo(mlrun.serving.V2ModelServer):
    def load(self):
        pass

    def predict(self, body):
        return body["inputs"]
PYTHON
    cat > serving_spec.json <<'JSON'
{"function": "router", "graph": {"kind": "router", "routes": {"m1": {"class_name": "classes.Echo", "class_args": {"model_path": ""}}}}}
JSON
    cp classes.py src
    cp classes.py store/folder
    sed s/m1/m2/ serving_spec.json > store/folder/serving_spec.json
    cat > function.yaml <<YAML
kind: serving
metadata: {name: exported}
spec:
  build: {functionSourceCode: "$(base64 -w0 classes.py)"}
  graph: {kind: router, routes: {m1: {class_name: Echo, class_args: {model_path: ""}}}}
YAML
    cp function.yaml store
    sed 's/m1/m3/; s/classes.Echo/mlrun.frameworks.sklearn.SKLearnModelServer/; s#"model_path": ""#"model_path": "models/m1"#' serving_spec.json > installed_spec.json
}

serve_documents() {
    stop_other_way
    serve
}
