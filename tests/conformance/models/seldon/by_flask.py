"""A component that reads its request in Seldon's way: from Flask, imported where it is needed."""


class ByFlask:
    def predict(self, X, names):
        from flask import g, jsonify, request

        assert not hasattr(g, "seen"), "the context is another request's"
        g.seen = True
        answer = {"method": request.method, "path": request.path, "sent": request.json}
        return jsonify(answer | {"agent": request.user_agent.string}).json

    def tags(self):
        from flask import request

        return {"tenant": request.headers.get("X-Tenant"), "args": request.args.get("a")}


class OfTenant:
    """What each hook learns of its request from Flask, whatever way it came."""

    def predict(self, X, names):
        from flask import request

        assert request.content_length == len(request.get_data()) > 0
        return [request.headers.get("X-Tenant"), request.path, request.content_type]

    transform_input = transform_output = predict

    def aggregate(self, features, names):
        from flask import request

        return [request.headers.get("X-Tenant"), request.path, request.content_type]

    def route(self, X, names):
        from flask import request

        return int(request.headers.get("X-Branch", 0))

    def send_feedback(self, features, names, reward, truth, routing=None):
        from flask import request

        return [request.headers.get("X-Tenant"), request.path, request.content_type]
