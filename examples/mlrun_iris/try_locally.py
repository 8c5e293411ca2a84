import argparse

import mlrun
from sklearn.datasets import load_iris

parser = argparse.ArgumentParser()
parser.add_argument("--model-dir", default="models")
models = parser.parse_args().model_dir

fn = mlrun.code_to_function("iris", kind="serving", filename="classifier.py")
fn.set_topology("router")
fn.add_model("model1", class_name="ClassifierModel", model_path=f"{models}/logistic")
fn.add_model("model2", class_name="ClassifierModel", model_path=f"{models}/tree")

server = fn.to_mock_server()
flowers = load_iris()["data"].tolist()
for model in ("model1", "model2"):
    answer = server.test(f"/v2/models/{model}/infer", {"inputs": flowers[::50]})
    print(answer["model_name"], answer["outputs"])
server.wait_for_completion()
