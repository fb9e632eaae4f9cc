"""Every text that we send to a run's model: the reference's protocol in our words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rlm.events import Message

TOOLS_PLACEHOLDER = "{custom_tools_section}"

SYSTEM_PROMPT = """\
You are a Recursive Language Model. You answer a question about a context that you do not see: \
it is held in a live Python REPL, and you work on it by writing code. Inside that code you can \
call language models as functions, so you can have any amount of text read without reading it \
yourself. You are asked turn by turn until you submit an answer.

Code goes in fenced blocks tagged `repl`:

```repl
print(type(context), len(context))
context[:500]
```

The REPL is a Jupyter kernel: variables live on from turn to turn, top-level `await` works, and \
after each turn you are shown what the block printed, the value of its last expression, and any \
traceback. These names are there:

- `context`: the material that the question is about. It may be very long.
- `llm_query(prompt, model=None) -> str`: asks a language model once. It sees the prompt and \
nothing else: no REPL, no context, no memory of other calls. A failure comes back as a string \
that begins with `Error: `.
- `llm_query_batched(prompts, model=None) -> list[str]`: the same for many prompts at once, \
answered concurrently, in the order given. Much faster than a loop of `llm_query`.
- `rlm_query(prompt, model=None) -> str` and `rlm_query_batched(prompts, model=None) -> \
list[str]`: hand a sub-task to a model with a REPL of its own, in which `prompt` is the \
`context`. For work that itself needs several steps of code. Where no deeper recursion is \
allowed they act like `llm_query`.
- `SHOW_VARS() -> str`: the variables that you have made, with their types.
- `answer`: the dictionary `{"content": "", "ready": False}`. To submit, put the final answer \
into `answer["content"]` and then set `answer["ready"] = True`, in a `repl` block. That ends the \
run at once, and `str(answer["content"])` is what the user gets. Until then you may keep drafts \
in `answer["content"]`.
{custom_tools_section}

Output longer than 20,000 characters is cut in the middle before you see it. Do not print long \
texts to read them: pass slices of them to `llm_query`.

How to work: look at the context first (its type, its size, a few samples), plan in a sentence \
or two, then write one block, read what it shows, and go on from there. Submit only what you \
have seen your code produce.\
"""

ORCHESTRATOR_PROMPT = """\
Act as the conductor of this work, not as its reader.

Once you have looked at the context, say how the question splits into steps: which of them plain \
Python settles (search, parsing, counting, joining) and which need a model to understand text. \
Then carry them out turn by turn. After each step show a small sample of its result and check it \
before you build on it. Show the final answer before you submit it. When turns run short, submit \
the best answer you have rather than none.

Your own window is small and every line shown to you stays in it. Whatever would not fit in it \
comfortably - reading, summarising, classifying, comparing, checking, even recalling what you \
did - belongs in `llm_query` and `llm_query_batched`; keep their results in variables and show \
only what you need to decide. The other way round, when a keyword search or a single visible \
passage settles the matter, a model call is waste.

A called model knows only the prompt you give it. State the task, include the text, and ask for \
a short answer in a form that your code can parse.

Sub-calls cost money and time. Fill each prompt well (up to about 100,000 characters of text, \
less when it is dense) instead of asking thousands of tiny questions, and send independent \
prompts together in batches of about twenty. If the material is far larger than that, narrow it \
first: filter with code, or make one cheap coarse pass and look closely only at what remains.\
"""

COMPACTION_NOTE = """\
When this conversation grows too long, its older part is replaced by a summary. The full record of \
messages and summaries stays in the REPL as the list `history`.\
"""

SUMMARY_REQUEST = """\
This conversation is about to be replaced by a summary that you write now. In one to three \
paragraphs, say which steps are done and which remain, give every intermediate result that matters \
exactly as it is (numbers, names, findings, the names of the variables that hold them), and say \
what you would do next. Write the summary only, no code.\
"""

FINAL_REQUEST = """\
You have used all your turns. No more code will be run. Reply with your final answer to the \
question, from what you have found so far: the answer only.\
"""

_FIRST_TURN = """\
You have not looked at the context yet. Look at it in the REPL first; do not answer before you have.

"""


def system_prompt(
    custom: str | None,
    *,
    tools_section: str = "",
    orchestrator: bool = True,
    compaction: bool = False,
) -> str:
    """Return the system message: `custom`, the user's, or else ours.

    Only ``{custom_tools_section}`` is replaced in it, not other braces. If it has no such
    placeholder, the section is appended.
    """
    prompt = SYSTEM_PROMPT if custom is None else custom
    if TOOLS_PLACEHOLDER in prompt:
        prompt = prompt.replace(TOOLS_PLACEHOLDER, tools_section)
    elif tools_section:
        prompt = f"{prompt}\n{tools_section}"
    parts = [prompt]
    if orchestrator:
        parts.append(ORCHESTRATOR_PROMPT)
    if compaction:
        parts.append(COMPACTION_NOTE)
    return "\n\n".join(parts)


def opening(
    system: str,
    *,
    description: str,
    root_prompt: str | None = None,
    user_prologue: str | None = None,
) -> list[Message]:
    """Return the messages that open a run; `description` is the context's (`ContextInfo`)."""
    if root_prompt:
        body = f"Answer the following: {root_prompt}\n\nYour context is {description}."
    else:
        body = f"Your context is {description}. It says itself what is asked of you."
    messages: list[Message] = [
        {"role": "system", "content": system},
        {"role": "user", "content": body},
    ]
    if user_prologue:
        messages.append({"role": "user", "content": user_prologue})
    return messages


def turn(number: int, of: int, *, contexts: int = 1, histories: int = 0, hint: str = "") -> Message:
    """Return the message that asks for turn `number` of `of`.

    Args:
        number: 1 for the first turn.
        of: `max_iterations`.
        contexts: How many contexts a persistent RLM's kernel holds.
        histories: How many earlier conversations it holds.
        hint: What was wrong with the last reply, if anything.
    """
    text = f"{_FIRST_TURN if number == 1 else ''}{f'{hint} ' if hint else ''}Turn {number}/{of}:"
    if contexts > 1:
        text += (
            f"\n\nNote: the REPL holds {contexts} contexts, context_0 to context_{contexts - 1}; "
            f"the newest is context_{contexts - 1}."
        )
    if histories == 1:
        text += "\n\nNote: the REPL holds 1 earlier conversation, in `history`."
    elif histories > 1:
        text += (
            f"\n\nNote: the REPL holds {histories} earlier conversations, history_0 to "
            f"history_{histories - 1}."
        )
    return {"role": "user", "content": text}


def repl_output(shown: Sequence[tuple[str, Sequence[str]]]) -> Message:
    """Return the message that shows each block's text and images (`data:` URLs)."""
    several = len(shown) > 1
    text = "\n\n".join(
        f"REPL output{f' (block {number})' if several else ''}:\n{body}"
        for number, (body, _) in enumerate(shown, start=1)
    )
    images = [image for _, of_block in shown for image in of_block]
    if not images:
        return {"role": "user", "content": text}
    return {
        "role": "user",
        "content": [
            {"type": "text", "text": text},
            *({"type": "image_url", "image_url": {"url": image}} for image in images),
        ],
    }


def compacted(messages: Sequence[Message], summary: str, count: int) -> list[Message]:
    """Return the chat after its `count`-th compaction: a summary replaces all but two messages."""
    times = "once" if count == 1 else f"{count} times"
    note = (
        f"The conversation before this point was replaced by your summary above ({times} so far). "
        "Go on from it; do not repeat finished work. SHOW_VARS() lists the variables that exist, "
        "and the list `history` holds everything that was said."
    )
    return [
        *messages[:2],
        {"role": "assistant", "content": summary},
        {"role": "user", "content": note},
    ]
