"""Inference graphs: what a graph's document says, what is done with a request, and the bytes between nodes.

No sockets: the calls to nodes are passed in.
"""

from mms.interfaces.seldon.graph.manifest import GraphError
from mms.interfaces.seldon.graph.message import Message
from mms.interfaces.seldon.graph.node import Builtin, Endpoint, Graph, Node, NodeType, Step
from mms.interfaces.seldon.graph.run import Call, NodeFailed, run_feedback, run_predict
from mms.interfaces.seldon.graph.spec import read_graph

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
