"""A demo that does not start is said in its own words, and no process stays behind."""

import pytest
from demo_server import running_demo

STANDIN = """
import http.server, os
http.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ["GRADIO_SERVER_PORT"]), bind="127.0.0.1")
"""


def test_a_demo_that_does_not_start_is_said_in_its_own_words(tmp_path):
    with (
        pytest.raises(SystemExit, match="did not start:\nno checkpoints"),
        running_demo(tmp_path, ("-c", "import sys; sys.exit('no checkpoints')")),
    ):
        pytest.fail("it did")


def test_no_process_is_left_behind(tmp_path):
    with pytest.raises(KeyError), running_demo(tmp_path, ("-c", STANDIN)) as server:
        assert server.process.poll() is None
        raise KeyError("of a test")
    assert server.process.poll() is not None and "GET / " in server.log.read_text()
