echo_model m
touch cat.jpg
serve m.mar

a_service_of_ones_own() {
    cat > service.py <<'PYTHON'
def handle(data, context):
    return None if data is None else [item["body"] for item in data]
PYTHON
}
