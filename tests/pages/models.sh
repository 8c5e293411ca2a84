# What pages presume that is there before them: archives and servers.

# greeting ARCHIVE VERSION: README's model, packed into store/
greeting() {
    mkdir -p greeting packed store
    cat > greeting/greeting.py <<'PYTHON'
def handle(data, context):
    return None if data is None else [f"Hello, {item['body']}!" for item in data]
PYTHON
    model-archiver --model-name greeting --model-version "$2" --model-path greeting --handler greeting:handle \
        --export-path packed
    mv packed/greeting.mar "store/$1"
}

# echo_model NAME...: models that answer with what they are given, packed into store/
echo_model() {
    mkdir -p echo store
    cat > echo/service.py <<'PYTHON'
def handle(data, context):
    return None if data is None else [str(item) for item in data]
PYTHON
    for name in "$@"; do
        model-archiver --model-name "$name" --model-path echo --handler service:handle --export-path store
    done
}

# component NAME: a Seldon class, packed into store/
component() {
    mkdir -p component store
    cat > component/Doubler.py <<'PYTHON'
class Doubler:
    def predict(self, X, names, meta=None):
        return X * 2
PYTHON
    model-archiver --model-name "$1" --model-path component --handler Doubler --export-path store
}

# serve [MODEL...]
serve() {
    mkdir -p store
    multi-model-server --start --model-store store ${1:+--models "$@"}
}

# sklearn_model FOLDER: a classifier of iris' four measurements as scikit-learn's users save it
sklearn_model() {
    mkdir -p "$1"
    python -c 'import joblib, sys; from sklearn.dummy import DummyClassifier as Model
joblib.dump(Model().fit([[5.1, 3.5, 1.4, 0.2], [6.2, 3.4, 5.4, 2.3]], [0, 2]), sys.argv[1])' "$1/model.joblib"
}
