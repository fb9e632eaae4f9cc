"""The magics `%%rlm`, which asks, and `%rlm`, which manages runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand

from rlm_ipython import flags, subcommands
from rlm_ipython.ask import ask
from rlm_ipython.defaults import Defaults
from rlm_ipython.runs import PersistentRLMs, ShellRuns

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rlm.api.run_handle import RunHandle
    from rlm_ipython.answer import Answer


@magics_class
class RLMMagics(Defaults, Magics):
    """Recursive language models in the notebook.

    The traits are the defaults of `%%rlm`'s flags: ``%config RLMMagics.model = "gpt-5-mini"``, or
    ``c.RLMMagics.model = ...`` in `ipython_config.py`.
    """

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.runs = ShellRuns()
        self.kept = PersistentRLMs()
        self.last_error = None

    @flags.documented
    @no_var_expand
    @cell_magic("rlm")  # type: ignore[arg-type]
    def ask(self, line: str, cell: str) -> Answer | RunHandle | None:
        """Answer a question about the value of a variable, whatever its size.

        The question is the cell's body. The model gets a separate Jupyter kernel in which your
        variable is `context`. It reads the context there with code, and calls models on pieces
        of it: the text never enters its messages as a whole. The answer is the cell's value (so
        _ has it): a str, shown as Markdown above a line of time and cost.
        """
        question = cell.strip()
        if not question:
            raise UsageError("%%rlm: the cell holds no question. Write it below the first line.")
        return ask(self, flags.parse(line), question)

    @subcommands.documented
    @no_var_expand
    @line_magic("rlm")  # type: ignore[arg-type]
    def manage(self, line: str) -> Any:
        """Show the defaults and the running runs, or run one of these commands."""
        return subcommands.run(self, line)

    def close(self) -> None:
        """Stop all runs and close the persistent ones."""
        self.runs.stop()
        self.kept.close()
