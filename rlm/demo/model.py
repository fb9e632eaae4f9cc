"""The demo's stand-in model: a fixed policy that reads only its prompt.

It knows neither the input nor the answer. It chooses each turn by what the REPL printed last, and
extracts what it says about a piece of text from that text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rlm.demo.messages import LMResponse, message_text

if TYPE_CHECKING:
    from rlm.demo.messages import LMRequest

NAME = "stand-in"

LOOK = """\
I look at the context first.

```repl
print(type(context).__name__, "of length", f"{len(context):,}")
if isinstance(context, dict):
    print(f"{sum(map(len, context.values())):,} characters in all; the first files:")
    for path in list(context)[:5]:
        print(repr(path), repr(context[path][:80]))
else:
    print(context[:400])
```
"""

READ = '''\
Python can tell which files mention it; models shall read those, in pieces cut between top-level
statements, all at once.

```repl
from collections import Counter

candidates = {path: text for path, text in context.items() if "NotImplementedError" in text}
pieces, piece, size = [], [], 0
for path, text in candidates.items():
    piece.append(f"##### FILE: {path}")
    for line in text.split("\\n"):
        if size > 20_000 and line[:1].strip():
            pieces.append("\\n".join(piece))
            piece, size = [f"##### FILE: {path}"], 0
        piece.append(line)
        size += len(line) + 1
pieces.append("\\n".join(piece))

task = """List every line that starts (after its indentation) with `raise NotImplementedError`:
one line each, `FILE :: CLASS.FUNCTION it stands in`. Write `none` if there is none.

"""
replies = llm_query_batched([task + piece for piece in pieces])
failed = [reply for reply in replies if reply.startswith("Error:")]
lines = [line for reply in replies for line in reply.split("\\n") if " :: " in line]
found = [tuple(line.split(" :: ", 1)) for line in lines]
count = Counter(path for path, place in found)
print(f"read {len(candidates)} of {len(context)} files: {len(pieces)} pieces, {len(failed)} failed")
print(f"found {len(found)} lines in {len(count)} files; most:", count.most_common(3))
```
'''

CROSS_CHECK = """\
The file with most of them is worth a second opinion: a recursive call that reads it on its own.

```repl
top, most = min(count.items(), key=lambda item: (-item[1], item[0]))
second = rlm_query(
    "Cross-check: how many lines of the Python source below start (after their indentation) with "
    "`raise NotImplementedError`? Answer with the number alone.\\n\\n" + context[top]
)
print(f"{top}: {most} by the pieces, and the child says: {second}")
```
"""

CHILD = '''\
I cut the source into small pieces, have each counted, and add up.

```repl
question, _, source = context.partition("\\n\\n")
lines = source.split("\\n")
pieces = ["\\n".join(lines[start : start + 100]) for start in range(0, len(lines), 100)]
task = """How many lines start (after their indentation) with `raise NotImplementedError`?
Answer with a number.

"""
numbers = llm_query_batched([task + piece for piece in pieces])
answer["content"] = sum(int(number) for number in numbers)
answer["ready"] = True
```
'''

ANSWER = '''\
Both ways of counting are in; I put the answer together.

```repl
places = Counter(place.rpartition(".")[0] or place for path, place in found if path == top)
place, times = min(places.items(), key=lambda item: (-item[1], item[0]))
agreement = "agrees" if second.strip() == str(most) else f"counts {second}"
answer["content"] = f"""\\
{len(found)} lines in {len(count)} files start with `raise NotImplementedError`. Most of them, \\
{most}, stand in {top}, {times} of those in `{place}`; a second count of that file {agreement}.
raises={len(found)}; files={len(count)}; most={top}; in_it={most}"""
answer["ready"] = True
```
'''


def reply(request: LMRequest) -> LMResponse:
    """Answer one request: a turn by what the REPL printed last, a sub-call by its prompt."""
    return LMResponse(text=next_turn(request) if request.is_root else read(request.prompt))


def next_turn(request: LMRequest) -> str:
    """Return the reply to a run's next turn, with its code."""
    if request.turn == 1:
        return LOOK
    said = _since_last_reply(request)
    if "and the child says: " in said:
        return ANSWER
    if "found " in said and " lines in " in said:
        return CROSS_CHECK
    return CHILD if "Cross-check: " in said else READ


def read(prompt: str) -> str:
    """Do what a sub-call's prompt asks with the text in it."""
    task, _, text = prompt.partition("\n\n")
    if "Answer with a number." in task:
        return str(sum(1 for hit in _LANDMARK.finditer(text) if hit["statement"]))
    return "\n".join(_places(text)) or "none"


_LANDMARK = re.compile(
    r"^##### FILE: (?P<file>.+)$"
    r"|^(?P<margin>[ \t]*)(?:(?:(?:async +)?def|class) +(?P<name>\w+)"
    r"|(?P<statement>raise NotImplementedError))",
    re.MULTILINE,
)


def _places(text: str) -> list[str]:
    """Return `FILE :: CLASS.FUNCTION` of each statement, found by indentation."""
    file = ""
    around: list[tuple[int, str]] = []
    places = []
    for hit in _LANDMARK.finditer(text):
        if hit["file"]:
            file, around = hit["file"], []
            continue
        margin = len(hit["margin"].expandtabs())
        around = [(column, name) for column, name in around if column < margin]
        if hit["name"]:
            around.append((margin, hit["name"]))
        else:
            places.append(f"{file} :: {'.'.join(name for _, name in around) or 'the module'}")
    return places


def _since_last_reply(request: LMRequest) -> str:
    said: list[str] = []
    for message in reversed(request.messages):
        if message.get("role") == "assistant":
            break
        said.append(message_text(message))
    return "\n".join(reversed(said))
