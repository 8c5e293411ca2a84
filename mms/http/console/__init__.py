"""The console: a page on the management listener that shows the models live, and manages and tries them.

`console_api.py` has its routes, which every server has. All else is imported by the first request that needs it.
"""
