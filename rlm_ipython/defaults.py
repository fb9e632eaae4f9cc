"""The state of one shell's magics: the defaults of `%%rlm`'s flags, and the runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from traitlets import Bool, Dict, Enum, Float, Int, Unicode, default
from traitlets.config import Configurable

from rlm.run_options import ARGUMENT, BACKEND, DOOR, ENVIRONMENT, Place, option
from rlm_ipython.runs import PersistentRLMs, ShellRuns

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def _help(name: str, place: Place = ARGUMENT) -> str:
    """Return a trait's help, with the environment variable that sets its default."""
    row = option(name, place)
    sentence = f"{row.help[0].upper()}{row.help[1:]}"
    if not row.environ:
        return f"{sentence}."
    other = f", else {row.default}" if row.default else ""
    return f"{sentence} (default: ${row.environ}{other})."


class Defaults(Configurable):
    """The state of `RLMMagics`; `%config RLMMagics.NAME = VALUE` sets its traits.

    Attributes:
        shell: The user's.
        runs: The runs of this shell.
        kept: The `RLM`s that `--persistent` keeps.
        last_error: The error that the last magic failed with.
    """

    shell: InteractiveShell
    runs: ShellRuns
    kept: PersistentRLMs
    last_error: BaseException | None

    backend = Unicode(help=_help("backend")).tag(config=True)
    model = Unicode(help=_help("model_name", BACKEND)).tag(config=True)
    sub_model = Unicode(help=_help("sub_model", DOOR)).tag(config=True)
    base_url = Unicode(help=_help("base_url", BACKEND)).tag(config=True)
    backend_kwargs = Dict(help=_help("backend_kwargs")).tag(config=True)
    environment = Enum(("local", "docker", "modal"), "local", help=_help("environment")).tag(
        config=True
    )
    image = Unicode(help=_help("image", ENVIRONMENT)).tag(config=True)
    environment_kwargs = Dict(help=_help("environment_kwargs")).tag(config=True)
    max_depth = Int(1, min=1, help=_help("max_depth")).tag(config=True)
    max_iterations = Int(30, min=1, help=_help("max_iterations")).tag(config=True)
    budget = Float(None, allow_none=True, min=0, help=_help("max_budget")).tag(config=True)
    timeout = Float(None, allow_none=True, min=0, help=_help("max_timeout")).tag(config=True)
    tokens = Int(None, allow_none=True, min=1, help=_help("max_tokens")).tag(config=True)
    prices = Dict(help=_help("prices")).tag(config=True)
    widget = Bool(
        default_value=True,
        help="Show runs in the viewer. Set it to False where the front end has no widgets: "
        "runs are then shown as text and HTML.",
    ).tag(config=True)
    extra = Dict(help="Further arguments of `rlm.RLM`, by name.").tag(config=True)

    @default("backend")
    def _default_backend(self) -> str:
        return os.environ.get("RLM_BACKEND") or "openai"

    @default("model")
    def _default_model(self) -> str:
        return os.environ.get("RLM_MODEL", "")
