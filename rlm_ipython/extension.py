"""Loads the magics into a shell, and removes them completely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rlm_ipython.completion import Completions
    from rlm_ipython.magics import RLMMagics


@dataclass(slots=True, kw_only=True, eq=False)
class _Loaded:
    """What was added to a shell.

    Attributes:
        before: The entries that the shell had before: table, key and value.
        times: How often it was loaded: `rlm` and `rlm_ipython` are two extensions for IPython.
    """

    magics: RLMMagics
    completions: Completions
    before: list[tuple[dict[str, Any], str, Any]]
    times: int = 1


_loaded: WeakKeyDictionary[InteractiveShell, _Loaded] = WeakKeyDictionary()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give a shell `%%rlm` and `%rlm`; ``%load_ext rlm_ipython`` and ``%load_ext rlm`` call it.

    Args:
        shell: The user's IPython shell.
    """
    if shell in _loaded:
        _loaded[shell].times += 1
        return
    from rlm_ipython.completion import Completions
    from rlm_ipython.magics import RLMMagics

    manager = shell.magics_manager
    tables = [(manager.registry, "RLMMagics"), *((kind, "rlm") for kind in manager.magics.values())]
    before = [(table, key, table.get(key)) for table, key in tables]
    magics = RLMMagics(shell)
    completions = Completions(magics)
    shell.register_magics(magics)
    shell.Completer.custom_matchers.append(completions.match)
    _loaded[shell] = _Loaded(magics=magics, completions=completions, before=before)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove everything from a shell: stop its runs and close its persistent `RLM`s.

    Args:
        shell: The user's IPython shell.
    """
    loaded = _loaded.get(shell)
    if loaded is None:
        return
    loaded.times -= 1
    if loaded.times:
        return
    del _loaded[shell]
    shell.Completer.custom_matchers.remove(loaded.completions.match)
    configurables: list[Any] = shell.configurables
    configurables.remove(loaded.magics)
    for table, key, value in loaded.before:
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    loaded.magics.close()
