"""The base of handlers, and the handlers that come with TorchServe. What needs torch imports it when it is used."""
