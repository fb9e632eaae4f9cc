"""The environment variables a kernel gets: what programs need to run, and no credentials."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ"),
        *("TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "SYSTEMROOT", "MPLCONFIGDIR"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONHASHSEED", "PYTHONWARNINGS"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),
    }
)
_PREFIXES = (
    "LC_", "LD_", "DYLD_", "CONDA_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "VECLIB_", "BLIS_",
    "CUDA_", "NVIDIA_", "ROCM_", "HIP_", "XLA_", "SSL_CERT_", "NUMBA_", "ARROW_", "POLARS_",
)  # fmt: skip
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|AUTH", re.IGNORECASE)


def scrubbed_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment (this process's, by default) as a kernel may see it.

    An allow-list, not a deny-list: a variable that nobody thought of (a database address with its
    password, say) stays out. Users add variables with `environment_kwargs={"env": {...}}`.
    """
    return {
        name: value
        for name, value in environment.items()
        if (name in _NAMES or name.startswith(_PREFIXES)) and not _SECRET.search(name)
    }


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """Return a kernelspec's variables without those whose names suggest a secret."""
    return {name: value for name, value in variables.items() if not _SECRET.search(name)}
