"""From Gradio's events to the library and back: values, and errors as messages on the page."""

import functools
import html
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import gradio as gr

from chromagan.demo.choices import chosen_source
from chromagan.errors import ChromaGANError

as_html = functools.partial(html.escape, quote=False)  # a toast is HTML, and names of files and sources are anyone's


@contextmanager
def errors_as_messages(escape: Callable[[str], str] = as_html) -> Iterator[None]:
    """A context in which what cannot be done becomes a message on the page."""
    try:
        yield
    except ChromaGANError as error:
        raise gr.Error(escape(str(error)), print_exception=False) from error


def fetched(photo: gr.Image) -> gr.Image:
    """The input `photo`, which takes addresses: one that nothing can be had from is a message, not an exception."""
    fetch = photo.async_move_resource_to_block_cache

    async def fetch_or_say(address: str | Path | None) -> str | None:
        try:
            return await fetch(address)
        except Exception as error:  # of many kinds: no such host, one of this network, no answer, a status
            reason = " ".join(str(error).split()) or type(error).__name__
            raise gr.Error(f"no photo at {address}: {reason}", print_exception=False) from error

    photo.async_move_resource_to_block_cache = fetch_or_say  # in a subclass Gradio would write a file beside this one
    return photo


def from_gradio(value):
    """A widget's value for the library: an upload as the path of its file, None for none; anything else as it is."""
    return (Path(value["path"]) if value.get("path") else None) if isinstance(value, dict) else value


def to_gradio(value):
    """A result of the library for widgets: a path as text; None in a tuple leaves a widget as it is."""
    if type(value) is tuple:
        return tuple(gr.skip() if each is None else each for each in value)
    return str(value) if isinstance(value, Path) else value


def as_handler(function: Callable, **how) -> Callable:
    """A function of the library as a handler of events. how: of `errors_as_messages`."""

    @functools.wraps(function)
    def handler(*args):
        with errors_as_messages(**how):
            return to_gradio(function(*map(from_gradio, args)))

    @functools.wraps(function)
    def generator(*args):
        with errors_as_messages(**how):
            yield from map(to_gradio, function(*map(from_gradio, args)))

    made = generator if inspect.isgeneratorfunction(function) else handler
    # Gradio names endpoints after their functions, and a second one of a name is numbered: /colorize is the API's.
    made.__name__ = f"on_{getattr(made, '__name__', 'event')}"
    return made


def by_network(function: Callable, options: int = 3) -> Callable:
    """`function`, whose options, source first, come with the network that is chosen beside the photo before them.

    options: how many they are, at the end of the arguments.
    """

    @functools.wraps(function)
    def chosen(*args):
        *others, network = args[:-options]
        source, *rendering = args[-options:]
        return function(*others, chosen_source(source, network), *rendering)

    return chosen
