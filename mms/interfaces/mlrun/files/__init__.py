"""Files and objects that models of MLRun read."""
