"""Adapters between Gradio's events and the library: values, and errors as messages on the page."""

import functools
import html
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from chromagan.demo.choices import chosen_source
from chromagan.demo.gradio_workarounds import upload_folder
from chromagan.demo.service import NOT_UPLOADED, PhotoError
from chromagan.errors import ChromaGANError

as_html = functools.partial(html.escape, quote=False)  # toasts are HTML, and names of files and sources come from users


@contextmanager
def errors_as_messages(escape: Callable[[str], str] = as_html) -> Iterator[None]:
    """A context that turns errors of this project into messages on the page."""
    try:
        yield
    except ChromaGANError as error:
        raise gr.Error(escape(str(error)), print_exception=False) from error


def from_gradio(value):
    """A widget's value for the library: an upload as the path of its file or None, other values unchanged.

    PhotoError for a path outside the folder of uploads. Gradio itself checks only what says that it is an upload, and
    a request can name any file of the server.
    """
    if not isinstance(value, dict):
        return value
    path, folder = value.get("path"), os.path.realpath(upload_folder())
    if not path:
        return None
    if not isinstance(path, str) or "\0" in path or not Path(os.path.realpath(path)).is_relative_to(folder):
        raise PhotoError(NOT_UPLOADED)
    return Path(path)


def to_gradio(value):
    """A result of the library for widgets: a path as text; None in a tuple leaves a widget unchanged."""
    if type(value) is tuple:
        return tuple(gr.skip() if each is None else each for each in value)
    return str(value) if isinstance(value, Path) else value


def as_handler(function: Callable, **how) -> Callable:
    """A function of the library as an event handler. how: arguments of `errors_as_messages`."""

    @functools.wraps(function)
    def handler(*args):
        with errors_as_messages(**how):
            return to_gradio(function(*map(from_gradio, args)))

    @functools.wraps(function)
    def generator(*args):
        with errors_as_messages(**how):
            yield from map(to_gradio, function(*map(from_gradio, args)))

    made = generator if inspect.isgeneratorfunction(function) else handler
    # Gradio names endpoints after functions and numbers duplicates: /colorize must stay the API's.
    made.__name__ = f"on_{getattr(made, '__name__', 'event')}"
    return made


def by_network(function: Callable, options: int = 3) -> Callable:
    """`function` with an extra argument before its options (source first): the network selected next to the photo.

    options: how many there are, at the end of the arguments.
    """

    @functools.wraps(function)
    def chosen(*args):
        *others, network = args[:-options]
        source, *rendering = args[-options:]
        return function(*others, chosen_source(source, network), *rendering)

    return chosen
