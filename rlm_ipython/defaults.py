"""What all parts of the magics share: the defaults of `%%rlm`'s flags, and the shell's runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from traitlets import Bool, Dict, Enum, Float, Int, Unicode, default
from traitlets.config import Configurable

from rlm_ipython.runs import PersistentRLMs, ShellRuns

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


class Defaults(Configurable):
    """What `RLMMagics` holds; its traits are set with `%config RLMMagics.NAME = VALUE`.

    Attributes:
        shell: The user's.
        runs: The runs of this shell.
        kept: What `--persistent` keeps.
        last_error: What the last magic failed in.
    """

    shell: InteractiveShell
    runs: ShellRuns
    kept: PersistentRLMs
    last_error: BaseException | None

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

    @default("backend")
    def _default_backend(self) -> str:
        return os.environ.get("RLM_BACKEND") or "openai"

    @default("model")
    def _default_model(self) -> str:
        return os.environ.get("RLM_MODEL", "")
