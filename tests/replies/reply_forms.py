"""The forms in which models write replies: one row a form, with what is made of it.

`report` is a public report of the form, as `owner/repository#number`; empty where we know of none.
"""

from __future__ import annotations

from dataclasses import dataclass

NO_CODE = "no ```repl``` block"
OTHER_CODE = "only blocks tagged `repl` are"
EMPTY = "Your last reply was empty."
CUT_BLOCK = "cut off inside a block"
CUT_ANSWER = "cut off inside FINAL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One form.

    Attributes:
        name: What is special about it.
        text: The reply.
        finish: OpenAI's word for how it ended.
        provider: Whose models or servers are known for it.
        report: Where somebody met it.
        runs: The blocks that are run, in order.
        answers: The answer in its text.
        variable: The variable that its text names as the answer.
        told: What the model is told in the next turn.
        thought: What is kept as reasoning.
        in_a_run: Whether it goes through a whole run with a real kernel.
    """

    name: str
    text: str
    finish: str = "stop"
    provider: str = ""
    report: str = ""
    runs: tuple[str, ...] = ()
    answers: str | None = None
    variable: str | None = None
    told: str = ""
    thought: str = ""
    in_a_run: bool = False


def _block(code: str = "x = 1") -> str:
    return f"```repl\n{code}\n```"


ONE = ("x = 1",)

THOUGHTS = (
    Form(
        name="a block that was only thought",
        text=f"<think>\nPerhaps:\n{_block('1 / 0')}\n</think>\n\n{_block()}",
        provider="Qwen, DeepSeek",
        report="trpc-group/trpc-agent-python#324",
        runs=ONE,
        thought=f"Perhaps:\n{_block('1 / 0')}",
        in_a_run=True,
    ),
    Form(
        name="an answer that was only thought",
        text="<think>\nFINAL(41)\n</think>\nFINAL(42)",
        provider="Qwen, DeepSeek",
        report="alexzhang13/rlm#7",
        answers="42",
        thought="FINAL(41)",
        in_a_run=True,
    ),
    Form(
        name="thoughts that never end",
        text=f"<think>\nI should run\n{_block()}\nFINAL(42)",
        provider="DeepSeek, GLM",
        report="lobehub/lobehub#5672",
        told=EMPTY,
        thought=f"I should run\n{_block()}\nFINAL(42)",
        in_a_run=True,
    ),
    Form(
        name="thoughts that never end, cut off",
        text="<think>\nI count and count",
        finish="length",
        report="openclaw/openclaw#46205",
        told=EMPTY,
        thought="I count and count",
    ),
    Form(
        name="a closing tag alone: the template wrote the opening one",
        text=f"The user wants\n{_block('1 / 0')}\n</think>\n\n{_block()}",
        provider="DeepSeek R1, Qwen3",
        report="langgenius/dify#17660",
        runs=ONE,
        thought=f"The user wants\n{_block('1 / 0')}",
        in_a_run=True,
    ),
    Form(
        name="a closing tag alone after an answer that was only thought",
        text="FINAL(41)?\nFINAL(41)\n</think>\nFINAL(42)",
        report="mudler/LocalAI#4761",
        answers="42",
        thought="FINAL(41)?\nFINAL(41)",
    ),
    Form(
        name="a closing tag alone, the thought's block not closed",
        text=f"So:\n```python\nx = 0\n</think>\n{_block()}",
        report="ItzCrazyKns/Vane#1034",
        runs=ONE,
        thought="So:\n```python\nx = 0",
    ),
    Form(
        name="a closing tag with CRLF line ends",
        text="hm\r\n</think>\r\nFINAL(42)\r\n",
        report="perplexityai/api-discussion#177",
        answers="42",
        thought="hm",
    ),
    Form(
        name="a thought's block that nobody closed",
        text=f"<think>\n```repl\nx = 0\n</think>\n{_block()}",
        runs=ONE,
        thought="```repl\nx = 0",
    ),
    Form(
        name="code about the tags in a thought",
        text="<think>\n```python\nre.sub('<think>.*</think>', '', s)\n```\nok\n</think>FINAL(42)",
        report="nbramia/LifeOS#568",
        answers="42",
        thought="```python\nre.sub('<think>.*</think>', '', s)\n```\nok",
    ),
    Form(
        name="a tag in backticks within a thought",
        text="<think>I end it with `</think>`.</think>FINAL(42)",
        report="nbramia/LifeOS#568",
        answers="42",
        thought="I end it with `</think>`.",
    ),
    Form(
        name="the opening tag twice",
        text="<think>\n<think>\nhm\n</think>\nFINAL(42)",
        report="QwenLM/qwen-code#8818",
        answers="42",
        thought="<think>\nhm",
    ),
    Form(
        name="a stray closing tag after the thoughts",
        text="<think>hm</think>FINAL(42)\n</think>",
        report="altic-dev/FluidVoice#836",
        answers="42",
        thought="hm",
    ),
    Form(
        name="two thoughts in a row",
        text="<think>a</think>\n<think>b</think>\nFINAL(42)",
        answers="42",
        thought="a\n\nb",
    ),
    Form(
        name="no thoughts between the tags",
        text=f"<think>\n\n</think>\n\n{_block()}",
        provider="Qwen3 without thinking",
        runs=ONE,
    ),
    Form(
        name="Mistral's tags",
        text="[THINK]FINAL(41)[/THINK]FINAL(42)",
        provider="Magistral, Ministral",
        report="RooCodeInc/Roo-Code#8522",
        answers="42",
        thought="FINAL(41)",
        in_a_run=True,
    ),
    Form(
        name="MiniMax's tags",
        text="<mm:think>hm</mm:think>\nFINAL(42)",
        provider="MiniMax M3",
        report="earendil-works/pi#5808",
        answers="42",
        thought="hm",
    ),
    Form(
        name="MiniMax's closing tag alone",
        text="hm\n</mm:think>\nFINAL(42)",
        provider="MiniMax M3",
        report="earendil-works/pi#5808",
        answers="42",
        thought="hm",
    ),
    Form(
        name="gpt-oss's channels",
        text="<|channel|>analysis<|message|>FINAL(41)<|end|><|start|>assistant"
        "<|channel|>final<|message|>FINAL(42)<|return|>",
        provider="gpt-oss",
        report="ml-explore/mlx-lm#1867",
        answers="42",
        thought="FINAL(41)",
        in_a_run=True,
    ),
    Form(
        name="gpt-oss's analysis alone",
        text="<|channel|>analysis<|message|>The user asks",
        provider="gpt-oss",
        report="scouzi1966/maclocal-api#121",
        told=EMPTY,
        thought="The user asks",
    ),
    Form(
        name="Gemma's channel",
        text="<|channel>thought\nhm\n<channel|>FINAL(42)",
        provider="Gemma 4",
        report="paperclipai/paperclip#7719",
        answers="42",
        thought="hm",
    ),
    Form(name="Kimi's tags", text="◁think▷hm◁/think▷FINAL(42)", answers="42", thought="hm"),
    Form(name="<thinking>", text="<thinking>hm</thinking>FINAL(42)", answers="42", thought="hm"),
    Form(
        name="<reasoning>",
        text=" <reasoning>\nhm</reasoning>\nFINAL(42)",
        answers="42",
        thought="hm",
    ),
    Form(name="capitals", text="<THINK>hm</THINK>FINAL(42)", answers="42", thought="hm"),
    Form(
        name="a BOM before the tag",
        text="\ufeff<think>hm</think>FINAL(42)",
        answers="42",
        thought="hm",
    ),
    Form(
        name="text about the tags",
        text="Models write <think> and\n</think>\naround what they think.",
        report="nbramia/LifeOS#568",
        told=NO_CODE,
        in_a_run=True,
    ),
    Form(
        name="code with a closing tag on a line",
        text="```repl\nx = '''\n</think>\n'''\n```",
        runs=("x = '''\n</think>\n'''",),
    ),
    Form(name="a closing tag within a line", text="a </think> b\nFINAL(42)", answers="42"),
)

FENCES = (
    Form(name="a plain block", text=_block(), runs=ONE, in_a_run=True),
    Form(
        name="a stop token behind the closing fence",
        text=f"{_block()}<|im_end|>",
        provider="ChatML models on servers that do not stop at it",
        report="pytorch/torchchat#459",
        runs=ONE,
        in_a_run=True,
    ),
    Form(
        name="</s> behind the closing fence",
        text=f"{_block()} </s>\n",
        report="marella/ctransformers#124",
        runs=ONE,
        in_a_run=True,
    ),
    Form(
        name="Llama's stop token on a line by itself",
        text=f"{_block()}\n<|eot_id|>",
        provider="Llama 3",
        report="ShenghaiWang/SwiftLlama#4",
        runs=ONE,
    ),
    Form(
        name="a word behind the closing fence",
        text=f"{_block()} done.\nFINAL(42)",
        runs=ONE,
        answers="42",
    ),
    Form(
        name="a word at the closing fence", text=f"{_block()}end\nFINAL(42)", runs=ONE, answers="42"
    ),
    Form(
        name="a stop token and no closing fence",
        text="```repl\nx = 1<|im_end|>",
        runs=ONE,
        in_a_run=True,
    ),
    Form(
        name="a fence forgotten between two blocks",
        text="```repl\nx = 1\n\n```repl\ny = 2\n```",
        report="BoundaryML/baml#3361",
        runs=("x = 1\n", "y = 2"),
        in_a_run=True,
    ),
    Form(
        name="a fence forgotten before another language",
        text="```repl\nx = 1\n```json\n{}\n```\nFINAL(42)",
        runs=ONE,
        answers="42",
    ),
    Form(
        name="code on the opening line",
        text="```repl import re\nx = 1\n```",
        runs=("import re\nx = 1",),
        in_a_run=True,
    ),
    Form(
        name="a whole block on one line",
        text="```repl x = 1```",
        report="WolframResearch/Chatbook#909",
        runs=ONE,
    ),
    Form(
        name="a comment on the opening line", text="```repl # go\nx = 1\n```", runs=("# go\nx = 1",)
    ),
    Form(name="repl:python", text="```repl:python\nx = 1\n```", runs=ONE, in_a_run=True),
    Form(name="{repl}", text="```{repl}\nx = 1\n```", runs=ONE, in_a_run=True),
    Form(name="{.repl .numberLines}", text="```{.repl .numberLines}\nx = 1\n```", runs=ONE),
    Form(name="{repl, echo=FALSE}", text="```{repl, echo=FALSE}\nx = 1\n```", runs=ONE),
    Form(
        name="a blank before the tag",
        text="``` repl\nx = 1\n```",
        report="microsoft/autogen#571",
        runs=ONE,
    ),
    Form(name="two tags", text="```repl python\nx = 1\n```", runs=ONE),
    Form(name="capitals", text="```REPL\nx = 1\n```", runs=ONE),
    Form(name="a BOM before the fence", text=f"\ufeff{_block()}", runs=ONE, in_a_run=True),
    Form(
        name="a zero-width space before the fences",
        text="\u200b```repl\nx = 1\n\u200b```",
        runs=ONE,
    ),
    Form(name="a zero-width space before the code", text="```repl\n\u200bx = 1\n```", runs=ONE),
    Form(name="CRLF", text="```repl\r\nx = 1\r\n```\r\n", runs=ONE, in_a_run=True),
    Form(
        name="a quote",
        text="> ```repl\n> if True:\n>     x = 1\n> ```\n\nThat is it.",
        runs=("if True:\n    x = 1",),
        in_a_run=True,
    ),
    Form(name="a quote in a quote", text="> > ```repl\n> > x = 1\n> > ```", runs=ONE),
    Form(name="a quote that ends the block", text="> ```repl\n> x = 1\n\nDone.", runs=("x = 1\n",)),
    Form(name="a list item", text="- ```repl\n  x = 1\n  ```\n- next", runs=ONE),
    Form(name="a numbered list item", text="1. ```repl\n   x = 1\n   ```", runs=ONE),
    Form(name="a heading", text="### ```repl\nx = 1\n```", runs=ONE),
    Form(name="an HTML tag around", text=f"<pre>\n{_block()}\n</pre>", runs=ONE),
    Form(
        name="text before the fence",
        text="Sure! Here it is: ```repl\nx = 1\n```",
        report="simonw/llm#1200",
        runs=ONE,
    ),
    Form(
        name="four backticks closed by three",
        text="````repl\nx = 1\n```\nFINAL(42)",
        provider="Claude Opus 4.5",
        report="Aider-AI/aider#4709",
        runs=ONE,
        answers="42",
    ),
    Form(
        name="tildes closed by backticks",
        text="~~~repl\nx = 1\n```\nFINAL(42)",
        runs=ONE,
        answers="42",
    ),
    Form(
        name="a fence at the end of the code",
        text="```repl\nx = 1```\nFINAL(42)",
        runs=ONE,
        answers="42",
    ),
    Form(
        name="a fence in a string",
        text='```repl\ns = """\n```python\nx\n```\n"""\n```\nFINAL(42)',
        report="huggingface/smolagents#2652",
        runs=('s = """\n```python\nx\n```\n"""',),
        answers="42",
        in_a_run=True,
    ),
    Form(
        name="a repl block in a string",
        text="```repl\ns = '''\n```repl\n1 / 0\n```\n'''\n```",
        report="langflow-ai/langflow#14371",
        runs=("s = '''\n```repl\n1 / 0\n```\n'''",),
    ),
    Form(
        name="a block that is shown, not meant",
        text="```markdown\n```repl\n1 / 0\n```\n```",
        report="huggingface/smolagents#1219",
        told=NO_CODE,
        in_a_run=True,
    ),
    Form(
        name="a block cut off",
        text="```repl\nx = 'half of",
        finish="length",
        report="zoedolan/Vybn#2617",
        told=CUT_BLOCK,
        in_a_run=True,
    ),
    Form(
        name="a missing last fence",
        text="```repl\nx = 1",
        report="mongodb/chatbot#85",
        runs=ONE,
    ),
    Form(
        name="python, where no repl block is or was",
        text="```python\nx = 1\n```",
        provider="Gemini and others",
        report="alexzhang13/rlm#7",
        runs=ONE,
        in_a_run=True,
    ),
    Form(name="py", text="```py\nx = 1\n```", report="greyhaven-ai/autocontext#890", runs=ONE),
    Form(
        name="python beside repl",
        text=f"```python\n1 / 0\n```\n{_block()}",
        runs=ONE,
        in_a_run=True,
    ),
    Form(
        name="python within an answer",
        text="FINAL(So:\n```python\n1 / 0\n```\n)",
        answers="So:\n```python\n1 / 0\n```",
    ),
    Form(name="another language", text="```bash\nls\n```", told=NO_CODE),
    Form(
        name="a tool call in the text",
        text='<function_calls>\n<invoke name="repl">\n<parameter name="code">\nx = 1\n'
        "</parameter>\n</invoke>\n</function_calls>",
        provider="Claude",
        report="alexzhang13/rlm#179",
        told=OTHER_CODE,
        in_a_run=True,
    ),
)

ANSWERS = (
    Form(name="plain", text="FINAL(42)", answers="42", in_a_run=True),
    Form(name="answer=", text="FINAL(answer=42)", answers="42", in_a_run=True),
    Form(name="answer= with a string", text="FINAL(answer='a) b')", answers="a) b"),
    Form(name="an equation", text="FINAL(x = 5)", answers="x = 5"),
    Form(
        name="parentheses within",
        text="FINAL(2^(2^(2^(2))) = 65536)",
        report="huggingface/OpenEnv#653",
        answers="2^(2^(2^(2))) = 65536",
    ),
    Form(
        name="tuples",
        text="FINAL([1, 2, 3], (4, 5))",
        report="alexzhang13/rlm#75",
        answers="[1, 2, 3], (4, 5)",
    ),
    Form(
        name="a list",
        text="FINAL(1) first\n2) second\n3) third)",
        answers="1) first\n2) second\n3) third",
        in_a_run=True,
    ),
    Form(name="a list on lines of its own", text="FINAL(\na) b\nb) c\n)", answers="a) b\nb) c"),
    Form(
        name="a list nobody closed", text="FINAL(1) first\n2) second", answers="1) first\n2) second"
    ),
    Form(
        name="a table",
        text="FINAL(| a) | b |\n|---|---|\n| 1) | 2 |)",
        answers="| a) | b |\n|---|---|\n| 1) | 2 |",
        in_a_run=True,
    ),
    Form(name="smileys", text="FINAL(Good :)\nand fine ;-)\n)", answers="Good :)\nand fine ;-)"),
    Form(name="a smiley at the end", text="FINAL(Good :))", answers="Good :)"),
    Form(name="a smiley behind", text="FINAL(42)\n\nI hope this helps :)", answers="42"),
    Form(name="a remark behind", text="FINAL(42)\n\n(I counted twice.)", answers="42"),
    Form(name="a remark on the same line", text="FINAL(42) (I counted twice)", answers="42"),
    Form(
        name="several paragraphs",
        text="FINAL(One (1).\n\nTwo (2).)",
        answers="One (1).\n\nTwo (2).",
    ),
    Form(
        name="an open interval",
        text="FINAL(it is (0, 1]\nand no more)",
        answers="it is (0, 1]\nand no more",
    ),
    Form(
        name="code within",
        text="FINAL(Use\n```\nf(x)\n```\nthere)",
        answers="Use\n```\nf(x)\n```\nthere",
    ),
    Form(name="bold", text="**FINAL(42)**", answers="42", in_a_run=True),
    Form(name="bold name", text="**FINAL**(42)", answers="42"),
    Form(name="a list item", text="- FINAL(42)", answers="42", in_a_run=True),
    Form(name="a numbered item", text="1. FINAL(42)", answers="42"),
    Form(name="a ticked item", text="- [x] FINAL(42)", answers="42"),
    Form(name="a heading", text="### FINAL(42)", answers="42", in_a_run=True),
    Form(name="backticks", text="`FINAL(42)`", answers="42", in_a_run=True),
    Form(name="a quote", text="> **FINAL(a\n> b)**", answers="a\nb"),
    Form(name="a table's cell", text="| FINAL(42) |", answers="42"),
    Form(name="an HTML tag", text="<answer>FINAL(42)</answer>", answers="42"),
    Form(name="a full stop", text="FINAL(42).", answers="42"),
    Form(name="a sign before", text="✅ FINAL(42)", answers="42"),
    Form(name="Chinese parentheses", text="FINAL\uff0842\uff09", answers="42"),
    Form(name="zero-width spaces", text="\u200bFINAL(42)\u200b", answers="42"),
    Form(name="CRLF", text="So:\r\nFINAL(a\r\nb)\r\n", answers="a\nb"),
    Form(
        name="a stop token behind",
        text="FINAL(42)<|im_end|>",
        report="alexzhang13/rlm#7",
        answers="42",
        in_a_run=True,
    ),
    Form(
        name="Gemma's stop token behind",
        text="FINAL(42)<end_of_turn>\n",
        provider="Gemma",
        report="AI-Hypercomputer/maxtext#3246",
        answers="42",
    ),
    Form(
        name="a stop token before",
        text="<|assistant|>FINAL(42)</s>",
        report="alexzhang13/rlm#7",
        answers="42",
    ),
    Form(
        name="a variable",
        text=f"{_block()}\n**FINAL_VAR(x)**",
        runs=ONE,
        variable="x",
        in_a_run=True,
    ),
    Form(name="a variable in backticks", text="`FINAL_VAR(x)`", variable="x"),
    Form(name="a variable, escaped", text='FINAL\\_VAR("x")', variable="x"),
    Form(
        name="a sentence about it",
        text="I will call FINAL(answer) once I know.",
        report="alexzhang13/rlm#7",
        told=NO_CODE,
        in_a_run=True,
    ),
    Form(
        name="a sentence about it that begins with it",
        text="`FINAL(answer)` is what I call at the end (later).",
        told=NO_CODE,
        in_a_run=True,
    ),
    Form(
        name="a sentence without backticks", text="FINAL(your answer) ends the run.", told=NO_CODE
    ),
    Form(name="an answer struck out", text="~~FINAL(41)~~", told=NO_CODE),
    Form(name="a comment", text="<!-- FINAL(41) -->", told=NO_CODE),
    Form(
        name="in a block of code that is not run",
        text="```text\nFINAL(41)\n```",
        report="alexzhang13/rlm#115",
        told=NO_CODE,
        in_a_run=True,
    ),
    Form(
        name="cut off",
        text="FINAL(The capital (Paris) of",
        finish="length",
        told=CUT_ANSWER,
        in_a_run=True,
    ),
    Form(name="a list cut off", text="FINAL(1) first\n2) sec", finish="length", told=CUT_ANSWER),
    Form(name="a table cut off", text="FINAL(| a (b) |\n| c (d)", finish="length", told=CUT_ANSWER),
    Form(name="a string cut off", text="FINAL('''a)\nb", finish="length", told=CUT_ANSWER),
    Form(name="whole before the cut", text="FINAL(42)\nAs I sa", finish="length", answers="42"),
)

FORMS = (*THOUGHTS, *FENCES, *ANSWERS)
