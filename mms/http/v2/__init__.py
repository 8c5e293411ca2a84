"""The tree `/v2` of models of several protocols."""
