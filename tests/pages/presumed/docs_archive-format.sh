mkdir digits iris
cat > digits/service.py <<'PYTHON'
def handle(data, context):
    return data
PYTHON
cat > iris/Model.py <<'PYTHON'
class Model:
    def predict(self, X, names, meta=None):
        return X
PYTHON
cat > iris/serving.py <<'PYTHON'
import mlrun


class ClassifierModel(mlrun.serving.V2ModelServer):
    def predict(self, body):
        return body["inputs"]
PYTHON
touch iris/model.joblib
