"""Stands for SageMaker's inference toolkit where PyPI's sagemaker-inference is not installed."""
