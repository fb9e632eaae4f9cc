"""The trajectory viewer: a widget that shows a run as a tree, even while it goes on."""

from rlm_ipython.viewer.live import LiveView, show_live
from rlm_ipython.viewer.widget import TrajectoryViewer

__all__ = ["LiveView", "TrajectoryViewer", "show_live"]
