"""The magics `%%rlm`, which asks, and `%rlm`, which looks after what was asked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import magic_arguments
from traitlets import Bool, Dict, Enum, Float, Int, Unicode, default

from rlm_ipython import flags, subcommands
from rlm_ipython.ask import ask
from rlm_ipython.kept import KeptRLMs
from rlm_ipython.runs import ShellRuns

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from rlm.api.run_handle import RunHandle
    from rlm_ipython.answer import Answer


@magics_class
class RLMMagics(Magics):
    """Recursive language models in the notebook.

    The traits are the defaults of `%%rlm`'s flags: ``%config RLMMagics.model = "gpt-5-mini"``, or
    ``c.RLMMagics.model = ...`` in `ipython_config.py`.

    Attributes:
        runs: The runs of this shell.
        kept: What `--persistent` keeps.
        last_error: What the last magic failed in.
    """

    shell: InteractiveShell

    backend = Unicode(help="The provider (default: $RLM_BACKEND, else openai).").tag(config=True)
    model = Unicode(help="The model that is asked turn by turn (default: $RLM_MODEL).").tag(
        config=True
    )
    sub_model = Unicode(help="Another model of the backend, for sub-calls.").tag(config=True)
    base_url = Unicode(help="The API's address, if not the provider's own.").tag(config=True)
    backend_kwargs = Dict(help="What else the backend's client takes.").tag(config=True)
    environment = Enum(
        ("local", "docker", "modal"), "local", help="Where the model's code runs."
    ).tag(config=True)
    image = Unicode(help="The image of containers and Modal sandboxes.").tag(config=True)
    environment_kwargs = Dict(help="What else the default environment takes.").tag(config=True)
    max_depth = Int(1, min=1, help="Levels of recursion; 1: no children.").tag(config=True)
    max_iterations = Int(30, min=1, help="Turns.").tag(config=True)
    budget = Float(None, allow_none=True, min=0, help="USD for a run's tree.").tag(config=True)
    timeout = Float(None, allow_none=True, min=0, help="Seconds for a run's tree.").tag(config=True)
    tokens = Int(None, allow_none=True, min=1, help="Tokens for a run's tree.").tag(config=True)
    prices = Dict(help="Model to (USD per 1M input tokens, per 1M output tokens).").tag(config=True)
    widget = Bool(
        default_value=True,
        help="Show runs in the viewer; False, where a front end has no widgets: as text and HTML.",
    ).tag(config=True)
    extra = Dict(help="Further arguments of `rlm.RLM`, by name.").tag(config=True)

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self.runs = ShellRuns()
        self.kept = KeptRLMs()
        self.last_error: BaseException | None = None

    @default("backend")
    def _default_backend(self) -> str:
        return os.environ.get("RLM_BACKEND") or "openai"

    @default("model")
    def _default_model(self) -> str:
        return os.environ.get("RLM_MODEL", "")

    @magic_arguments("rlm")
    @flags.takes_run_flags
    @no_var_expand
    @cell_magic("rlm")  # type: ignore[arg-type]
    def ask(self, line: str, cell: str) -> Answer | RunHandle | None:
        """Answer a question about what a variable holds, however much that is.

        The question is the cell's body. The model gets a Jupyter kernel of its own in which your
        variable is `context`; it reads it there with code, and calls models on pieces of it. The
        text never enters its messages. Its answer is the cell's value (so _ has it): a str,
        shown as Markdown with a line on what it took.
        """
        question = cell.strip()
        if not question:
            raise UsageError("%%rlm: the cell holds no question. Write it below the first line.")
        return ask(self, flags.parse(type(self).ask, line), question)

    @subcommands.documented
    @no_var_expand
    @line_magic("rlm")  # type: ignore[arg-type]
    def manage(self, line: str) -> Any:
        """Say what the defaults are and what goes on, or do one of these things."""
        return subcommands.run(self, line)

    def close(self) -> None:
        """End every run that goes on and everything that is kept."""
        for run in self.runs.running:
            assert run.handle is not None
            run.handle.stop()
        for run in self.runs.running:
            assert run.handle is not None
            run.handle.wait(10.0)
        self.kept.close()
