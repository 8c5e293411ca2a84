"""Inference graphs: what a graph's document says, what is done with a request, and the bytes between nodes.

No sockets: the calls to nodes are passed in.
"""

from mms.graph.manifest import GraphError
from mms.graph.message import Message
from mms.graph.node import Builtin, Endpoint, Graph, Node, NodeType, Step
from mms.graph.run import Call, NodeFailed, run_feedback, run_predict
from mms.graph.spec import read_graph

__all__ = [
    "Builtin",
    "Call",
    "Endpoint",
    "Graph",
    "GraphError",
    "Message",
    "Node",
    "NodeFailed",
    "NodeType",
    "Step",
    "read_graph",
    "run_feedback",
    "run_predict",
]
