"""The serving contract of MLRun, in process and synchronous: models, routers, events, contexts. No sockets."""
