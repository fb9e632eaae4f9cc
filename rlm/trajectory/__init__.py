"""The record of a run: its events folded into a tree of nodes, and the files that hold it."""

from rlm.redaction import Redaction, redacted_event
from rlm.trajectory.codec import TrajectoryError, event_from_dict, event_to_dict
from rlm.trajectory.files import LOADABLE, SUFFIXES, format_of, load, load_log, save
from rlm.trajectory.fold import Trajectory, redacted
from rlm.trajectory.forest import Forest
from rlm.trajectory.nodes import CellNode, Node, RunNode, SubCallNode, TurnNode

__all__ = [
    "LOADABLE",
    "SUFFIXES",
    "CellNode",
    "Forest",
    "Node",
    "Redaction",
    "RunNode",
    "SubCallNode",
    "Trajectory",
    "TrajectoryError",
    "TurnNode",
    "event_from_dict",
    "event_to_dict",
    "format_of",
    "load",
    "load_log",
    "redacted",
    "redacted_event",
    "save",
]
