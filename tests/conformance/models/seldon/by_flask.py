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
