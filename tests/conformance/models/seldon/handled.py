"""A component with exceptions of its own, which a Flask blueprint turns into answers."""

from flask import Blueprint, jsonify


class PaymentMissing(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.message = message


class Handled:
    model_error_handler = Blueprint("error_handlers", __name__)

    def predict(self, X, names):
        raise PaymentMissing("pay first")

    def predict_rest(self, message):
        if "strData" in message:
            return {"strData": "free"}
        raise PaymentMissing("pay first")

    def transform_input(self, X, names):
        raise PaymentMissing("pay first")

    def transform_output(self, X, names):
        raise KeyError("not handled")


@Handled.model_error_handler.app_errorhandler(PaymentMissing)
def answer(error):
    response = jsonify({"status": {"status": 402, "message": error.message, "app_code": 1402}})
    response.status_code = 402
    return response
