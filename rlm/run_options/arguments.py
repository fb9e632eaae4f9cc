"""The rows for the arguments of `RLM` that say who is asked, where code runs, and how much."""

from __future__ import annotations

from rlm.run_options.option import Flag, RunOption

_MODEL = Flag(group="model")
_LIMIT = Flag(group="limits")
_WHERE = Flag(group="environment")

ARGUMENTS: tuple[RunOption, ...] = (
    RunOption(
        name="backend",
        type="str",
        default="openai",
        metavar="NAME",
        help="the provider of the root model, such as openai, anthropic, openrouter, portkey, "
        "litellm, vllm, azure_openai, gemini or vercel",
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
        name="backend_kwargs",
        type="dict[str, Any] | None",
        help="what the backend's client takes: model_name, api_key, base_url and more",
        from_log="taken",
        trait="backend_kwargs",
    ),
    RunOption(
        name="environment",
        type="str",
        default="local",
        metavar="NAME",
        help="where the model's code runs: local, docker or modal; local is a process of this "
        "user and no boundary against hostile code",
        from_log="taken",
        trait="environment",
        doors={
            "run": _WHERE,
            "replay": Flag(help="where the code runs (default: as recorded)"),
        },
    ),
    RunOption(
        name="environment_kwargs",
        type="dict[str, Any] | None",
        metavar="JSON",
        help='what else the environment takes, such as {"memory_limit": "4g"}',
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
        name="depth",
        type="int",
        default=0,
        help="where in a tree this RLM stands; 0 is its root",
        from_log="taken",
    ),
    RunOption(
        name="max_depth",
        type="int",
        default=1,
        metavar="N",
        help="levels of recursion: from 2 on, rlm_query starts children with kernels",
        from_log="taken",
        logged="config",
        trait="max_depth",
        doors={"run": _LIMIT, "magic": _LIMIT},
    ),
    RunOption(
        name="max_iterations",
        type="int",
        default=30,
        minimum=1,
        metavar="N",
        help="turns, after which the model is asked for its final answer",
        from_log="taken",
        logged="config",
        trait="max_iterations",
        doors={"run": _LIMIT, "replay": Flag(group="live"), "magic": _LIMIT},
    ),
    RunOption(
        name="other_backends",
        type="list[str] | None",
        help="further providers, for sub-calls",
        from_log="taken",
        logged="config",
    ),
    RunOption(
        name="other_backend_kwargs",
        type="list[dict[str, Any]] | None",
        help="what the clients of other_backends take, in the same order",
        from_log="taken",
    ),
    RunOption(
        name="verbose",
        type="bool",
        default=False,
        help="show the run as it happens, on stderr",
        doors={
            "run": Flag(
                group="loudness",
                help="show the run as it happens (default: when stderr is a terminal)",
            ),
            "replay": Flag(group="loudness", help="show the run as it happens"),
        },
    ),
    RunOption(
        name="max_budget",
        type="float | None",
        flag="budget",
        metavar="USD",
        help="USD for the whole tree",
        from_log="taken",
        logged="limits",
        trait="budget",
        doors={
            "run": _LIMIT,
            "replay": Flag(group="live", help="money, the log's included"),
            "magic": _LIMIT,
        },
    ),
    RunOption(
        name="max_timeout",
        type="float | None",
        above=True,
        flag="timeout",
        metavar="SECONDS",
        help="seconds for the whole tree",
        from_log="taken",
        logged="limits",
        trait="timeout",
        doors={
            "run": _LIMIT,
            "replay": Flag(group="live", help="time, from now"),
            "magic": _LIMIT,
        },
    ),
    RunOption(
        name="max_tokens",
        type="int | None",
        minimum=1,
        flag="tokens",
        metavar="N",
        help="tokens of the whole tree, input and output",
        from_log="taken",
        logged="limits",
        trait="tokens",
        doors={
            "run": _LIMIT,
            "replay": Flag(group="live", help="tokens, the log's included"),
            "magic": _LIMIT,
        },
    ),
    RunOption(
        name="max_errors",
        type="int | None",
        minimum=1,
        metavar="N",
        help="failing turns in a row that end a run",
        from_log="taken",
        logged="limits",
        doors={"run": _LIMIT},
    ),
    RunOption(
        name="prices",
        type="dict[str, tuple[float, float]] | None",
        metavar="JSON",
        help="model to USD per 1M input tokens and per 1M output tokens",
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
        name="persistent",
        type="bool",
        default=False,
        help="later completions reuse the kernel",
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
