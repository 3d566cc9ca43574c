"""What a visitor does on the page, and reads from it. page: of Playwright."""

from pathlib import Path

import pytest


def narrow_page(visitor, width: int):
    """An empty page as wide as a phone's, in CSS pixels."""
    page = visitor.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    return page


def arrive(page, url: str):
    """Opens the demo; returns when all of it is there. Gradio mounts the choices and the examples after the picture."""
    page.goto(url)
    for part in ("#result img >> nth=1", "#decoder input:checked", "#epoch input:checked", "#examples .gallery-item"):
        page.wait_for_selector(part, state="attached")


def picture_urls(page) -> list[str]:
    """The addresses of the gray and of the color image, once both are loaded."""
    images = "[...document.querySelectorAll('#result img')]"
    page.wait_for_function(f"{images}.every(image => image.complete && image.naturalWidth)")
    return page.evaluate(f"{images}.map(image => image.src)")


def sizes(page) -> list[list[int]]:
    return page.evaluate(
        "[...document.querySelectorAll('#result img')].map(image => [image.naturalWidth, image.naturalHeight])"
    )


def give(page, path: Path, at_once: bool = True):
    """Begins to upload a photo in place of the one that is shown: at once, as a program can, or once that is gone."""
    page.click("#photo [aria-label='Remove Image']")
    if not at_once:
        page.wait_for_selector("#result img", state="detached")
    page.set_input_files("#photo input[type=file]", path)


def pick_example(page, index: int):
    """At once, wherever on the page the examples are."""
    page.evaluate("index => document.querySelectorAll('#examples .gallery-item')[index].click()", index)


def upload(page, path: Path, refused: bool = False):
    """refused: whether the page is expected to take no such file."""
    give(page, path, at_once=False)  # as a visitor, who takes seconds to choose another
    if not refused:
        page.wait_for_selector("#photo [aria-label='Remove Image']")


def color(page, path: Path) -> list[str]:
    """Uploads a photo; returns the addresses of its pictures. It may be colored twice: what follows from removing the
    former photo can find the new one in the box, before it has brought its network."""
    upload(page, path)
    page.wait_for_selector("#caption >> text=photos of any kind")
    return picture_urls(page)


def wait_for_another(page, before: list[str]):
    page.wait_for_function(
        "before => { const image = document.querySelectorAll('#result img')[1];"
        " return image && image.src != before && image.complete; }",
        arg=before[1],
    )


def enter_source(page, source: str):
    """Asks for the checkpoints of a source that is refused; returns with the toast that quotes it."""
    page.click("#options >> text=Options")
    box = page.locator("#source textarea, #source input")
    toast = page.locator("[data-testid=toast-body]", has_text=source)
    for attempt in range(100):
        if attempt % 10 == 0:  # Gradio mounts the box when the accordion opens: once in many runs it hears no Enter yet
            box.fill(source)
            box.press("Enter")  # of the box, whatever else has taken the focus meanwhile
        page.wait_for_timeout(300)
        if toast.count():
            return
    pytest.fail(f"no word about {source}")


def said(page) -> str:
    page.wait_for_selector("[data-testid=toast-body]")
    return page.inner_text("[data-testid=toast-body]")


def open_tab(page, name: str):
    page.click(f"button[role=tab]:has-text('{name}') >> visible=true")
