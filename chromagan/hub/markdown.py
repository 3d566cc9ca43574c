"""Words from outside, such as the name of a folder, a class or a decoder, in Markdown."""

import html
import json
import re


def escaped(words: str) -> str:
    """`words` on one line, to be shown as they are: no HTML, link, code or cell of a table begins or ends in them."""
    line = html.escape(" ".join(str(words).split()), quote=False)
    return re.sub(r"([\\`|\[\]])", r"\\\1", line)


def code_span(words: str) -> str:
    """`words` as inline code, between more backticks than follow each other in them."""
    line = " ".join(str(words).split())
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    return f"{ticks}{line}{ticks}" if len(ticks) == 1 else f"{ticks} {line} {ticks}"


def string_literal(words: str) -> str:
    """`words` as a string of Python in double quotes."""
    return json.dumps(str(words), ensure_ascii=False)


FILTERS = {"escaped": escaped, "code_span": code_span}
