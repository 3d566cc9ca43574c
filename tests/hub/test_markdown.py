"""Words from outside, in Markdown."""

import pytest

from chromagan.hub.markdown import code_span, escaped


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("plain words, 2 of 3", "plain words, 2 of 3"),
        ("<b> & `code`", "&lt;b&gt; &amp; \\`code\\`"),
        ("a|b\n\n| c", "a\\|b \\| c"),  # else it would end a cell, and a row
        ("[x](y) \\", "\\[x\\](y) \\\\"),
    ],
)
def test_words_are_shown_as_they_are(words, shown):
    assert escaped(words) == shown


@pytest.mark.parametrize(
    ("words", "code"), [("plain", "`plain`"), ("a`b\nc", "`` a`b c ``"), ("``", "``` `` ```"), ("<b>", "`<b>`")]
)
def test_code_ends_where_the_words_end(words, code):
    assert code_span(words) == code
