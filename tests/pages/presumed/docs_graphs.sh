# The nodes of the page's graph; the page itself writes bandit.yaml.
mkdir -p router store
cat > router/Router.py <<'PYTHON'
class Router:
    def route(self, X, names, meta=None):
        return 0
PYTHON
model-archiver --model-name router --model-path router --handler Router --export-path store
component old
component new

serve_nodes() {
    serve router.mar old.mar new.mar
}
