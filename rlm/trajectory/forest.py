"""Sorts events into several trees, for readers of concurrent runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlm.events import RunStarted, SubCallStarted
from rlm.trajectory.fold import Trajectory

if TYPE_CHECKING:
    from rlm.events import Event


class Forest:
    """Sorts the events of many trees into one trajectory each.

    Attributes:
        trees: The trees not dropped yet, by the id of their root run, oldest first.
    """

    def __init__(self) -> None:
        self.trees: dict[str, Trajectory] = {}
        self._tree_of_run: dict[str, Trajectory] = {}
        self._tree_of_call: dict[str, Trajectory] = {}
        self._shared: set[Trajectory] = set()

    def share(self, tree: Trajectory) -> None:
        """Use a tree that other code folds: then `add` only finds the tree of an event.

        Args:
            tree: With its first event at least; it may hold events that `add` gets later.
        """
        root = tree.root
        if root is not None:
            self._shared.add(tree)
            self.trees[root.started.run_id] = self._tree_of_run[root.started.run_id] = tree

    def add(self, event: Event) -> Trajectory | None:
        """Fold one event into its tree.

        Args:
            event: An event of any tree.

        Returns:
            The tree; None if its first event is missing.
        """
        tree = self._tree_of_run.get(event.run_id)
        if tree is None and isinstance(event, RunStarted):
            tree = self._tree_of_call.pop(event.parent_id or "", None)
            if tree is None:
                tree = self.trees[event.run_id] = Trajectory()
            self._tree_of_run[event.run_id] = tree
        if tree is None:
            return None
        if tree not in self._shared:
            tree.add(event)
        if isinstance(event, SubCallStarted) and event.kind == "rlm":
            self._tree_of_call[event.id] = tree
        return tree

    def drop(self, tree: Trajectory) -> None:
        """Forget a tree that is over.

        Args:
            tree: One of `trees`; any other is ignored.
        """
        self._shared.discard(tree)
        for mapping in (self.trees, self._tree_of_run, self._tree_of_call):
            for key in [key for key, value in mapping.items() if value is tree]:
                del mapping[key]
