"""Graphs of MLRun: their steps and the engines that run them."""
