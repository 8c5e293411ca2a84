mkdir -p my-model
cat > my-model/service.py <<'PYTHON'
def handle(data, context):
    return None if data is None else [str(item["body"]) for item in data]
PYTHON
