python "$PROJECT/examples/primehub_sklearn/train.py" --model-dir build/iris
