greeting greeting.mar 1.0
mkdir -p double
cat > double/service.py <<'PYTHON'
def handle(data, context):
    return None if data is None else [{"y": item["inputs"]["x"] * 2} for item in data]
PYTHON
model-archiver --model-name double --model-path double --handler service:handle --export-path store
serve greeting.mar double.mar
