cat > Model.py <<'PYTHON'
class Model:
    def predict(self, X, names, meta=None):
        return X * 2
PYTHON
