"""Model servers of MLRun: their base classes, events and contexts."""
