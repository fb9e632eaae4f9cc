"""The rows for the arguments of `RLM` about models, environments and limits."""

from __future__ import annotations

from rlm.run_options.option import Flag, RunOption

_MODEL = Flag(group="model")
_LIMIT = Flag(group="limits")
_WHERE = Flag(group="environment")

ARGUMENTS: tuple[RunOption, ...] = (
    RunOption(
        "backend",
        "str",
        "the provider of the root model, such as openai, anthropic, openrouter, portkey, "
        "litellm, vllm, azure_openai, gemini or vercel",
        default="openai",
        metavar="NAME",
        from_log="taken",
        environ="RLM_BACKEND",
        trait="backend",
        doors={
            "run": _MODEL,
            "replay": Flag(group="live", help="another provider (default: as recorded)"),
            "demo": Flag(help="ask a real model of this backend"),
            "magic": Flag(
                group="model", short="-b", help="the provider, such as openai or anthropic"
            ),
        },
    ),
    RunOption(
        "backend_kwargs",
        "dict[str, Any] | None",
        "keywords of the backend's client: model_name, api_key, base_url and more",
        from_log="taken",
        trait="backend_kwargs",
    ),
    RunOption(
        "environment",
        "str",
        "where the model's code runs: local, docker or modal; local is a process of this "
        "user, and no security boundary against hostile code",
        default="local",
        metavar="NAME",
        from_log="taken",
        trait="environment",
        doors={"run": _WHERE, "replay": Flag(help="where the code runs (default: as recorded)")},
    ),
    RunOption(
        "environment_kwargs",
        "dict[str, Any] | None",
        'what else the environment takes, such as {"memory_limit": "4g"}',
        metavar="JSON",
        from_log="taken",
        trait="environment_kwargs",
        doors={
            "run": Flag(
                group="environment",
                help="what else the environment takes, in a file or here: "
                '{"mem_limit": "8g"} (docs/environments.md)',
            )
        },
    ),
    RunOption(
        "depth",
        "int",
        "this RLM's depth in a tree; 0 is the root",
        default=0,
        from_log="taken",
    ),
    RunOption(
        "max_depth",
        "int",
        "levels of recursion: from 2 on, rlm_query starts children with kernels",
        default=1,
        metavar="N",
        from_log="taken",
        logged="config",
        trait="max_depth",
        doors={"run": _LIMIT, "magic": _LIMIT},
    ),
    RunOption(
        "max_iterations",
        "int",
        "turns, after which the model must give its final answer",
        default=30,
        minimum=1,
        metavar="N",
        from_log="taken",
        logged="config",
        trait="max_iterations",
        doors={"run": _LIMIT, "replay": Flag(group="live"), "magic": _LIMIT},
    ),
    RunOption(
        "other_backends",
        "list[str] | None",
        "further providers, for sub-calls",
        from_log="taken",
        logged="config",
    ),
    RunOption(
        "other_backend_kwargs",
        "list[dict[str, Any]] | None",
        "keywords of the clients of other_backends, in the same order",
        from_log="taken",
    ),
    RunOption(
        "verbose",
        "bool",
        "show the run as it happens, on stderr",
        default=False,
        doors={
            "run": Flag(
                group="loudness",
                help="show the run as it happens (default: when stderr is a terminal)",
            ),
            "replay": Flag(group="loudness", help="show the run as it happens"),
        },
    ),
    RunOption(
        "max_budget",
        "float | None",
        "USD for the whole tree",
        flag="budget",
        metavar="USD",
        from_log="taken",
        logged="limits",
        trait="budget",
        doors={
            "run": _LIMIT,
            "replay": Flag(group="live", help="USD, including the log's"),
            "magic": _LIMIT,
        },
    ),
    RunOption(
        "max_timeout",
        "float | None",
        "seconds for the whole tree",
        above=True,
        flag="timeout",
        metavar="SECONDS",
        from_log="taken",
        logged="limits",
        trait="timeout",
        doors={
            "run": _LIMIT,
            "replay": Flag(group="live", help="seconds from now on"),
            "magic": _LIMIT,
        },
    ),
    RunOption(
        "max_tokens",
        "int | None",
        "tokens of the whole tree, input and output",
        minimum=1,
        flag="tokens",
        metavar="N",
        from_log="taken",
        logged="limits",
        trait="tokens",
        doors={
            "run": _LIMIT,
            "replay": Flag(group="live", help="tokens, including the log's"),
            "magic": _LIMIT,
        },
    ),
    RunOption(
        "max_errors",
        "int | None",
        "failing turns in a row after which the run ends",
        minimum=1,
        metavar="N",
        from_log="taken",
        logged="limits",
        doors={"run": _LIMIT},
    ),
    RunOption(
        "prices",
        "dict[str, tuple[float, float]] | None",
        "model to USD per 1M input tokens and per 1M output tokens",
        metavar="JSON",
        from_log="taken",
        logged="settings",
        trait="prices",
        doors={
            "run": Flag(
                group="limits",
                help='prices of several models, in a file or here: {"MODEL": [IN, OUT]}',
            )
        },
    ),
    RunOption(
        "persistent",
        "bool",
        "later completions reuse the kernel",
        default=False,
        from_log="taken",
        logged="settings",
        doors={
            "magic": Flag(
                group="how",
                help="go on in the kernel of the last persistent run with the same flags",
            )
        },
    ),
)
