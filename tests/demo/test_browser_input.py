"""The page in a real browser: every way to give a photo, and what is refused or must stay text."""

import base64
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browsing import color, enter_source, open_tab, pick_example, picture_urls, said, sizes, upload, wait_for_another
from PIL import Image

FILE = """(bytes, kind) => {
    const data = new DataTransfer();
    const content = Uint8Array.from(atob(bytes), each => each.charCodeAt(0));
    data.items.add(new File([content], 'given.jpg', {type: 'image/jpeg'}));
    const options = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
    const event = kind === 'paste' ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
    return document.querySelector('#caption').dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_photo_given_anywhere_on_the_page(page, harbor, kind):
    before = picture_urls(page)
    page.evaluate(f"([bytes, kind]) => ({FILE})(bytes, kind)", [base64.b64encode(harbor.read_bytes()).decode(), kind])
    wait_for_another(page, before)
    picture_urls(page)
    assert sizes(page) == [[310, 203]] * 2 and page.faults == []


def test_webcam(page):
    before = picture_urls(page)
    page.click("#photo [aria-label='Remove Image']")
    page.click("#photo [aria-label='Capture from camera']")
    page.click("#photo >> text=Click to Access Webcam")
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")  # before, a click takes no picture
    page.click("#photo [aria-label='capture photo']")
    wait_for_another(page, before)
    assert page.faults == []


def test_keyboard_alone(page):
    """Tab to an example, Enter; on to the decoders, of which arrow keys choose; Tab leaves them."""

    def focus(wanted: str):
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.ariaLabel || document.activeElement.value") == wanted:
                return
        pytest.fail(f"Tab does not lead to {wanted}")

    before = picture_urls(page)
    page.wait_for_selector("[aria-label='Example photo: coffee']")
    focus("Example photo: coffee")
    page.keyboard.press("Enter")
    wait_for_another(page, before)
    before = picture_urls(page)
    focus("compact")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#caption >> text=Transposed convolutions")
    wait_for_another(page, before)
    page.keyboard.press("ArrowRight")  # and on, to the first one
    page.wait_for_selector("#caption >> text=Compact")
    assert page.evaluate("document.activeElement.closest('fieldset').ariaLabel") == "Decoder"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#epoch') !== null")


def test_without_a_photo(page):
    open_tab(page, "Epochs")
    page.wait_for_selector("#film .frames img:not([hidden])")
    page.click("#photo [aria-label='Remove Image']")
    page.wait_for_selector("#film .empty")
    assert page.evaluate("document.activeElement.id") == "choose"  # not lost with the button
    open_tab(page, "Colorize")
    page.wait_for_selector("#result .invitation")  # nothing is left that could be taken for a coloring
    page.click("#download")
    assert "Upload a photo first." in said(page)
    with page.expect_file_chooser():
        page.click("#result .invitation button")


def test_a_photo_is_chosen_while_another_is_shown_and_stays_until_then(page, harbor, tmp_path):
    before = picture_urls(page)
    for where in ("#choose", "#photo .image-frame", "#photo [aria-label='Upload file']"):
        with page.expect_file_chooser() as chooser:
            page.click(where)
        assert picture_urls(page) == before and page.locator("#photo .image-frame img").count() == 1
    chooser.value.set_files(harbor)
    wait_for_another(page, before)
    with Image.open(harbor) as image:
        image.rotate(180).save(tmp_path / "scan.tiff")  # no browser shows one
    before = picture_urls(page)
    with page.expect_file_chooser() as chooser:
        page.click("#choose")
    chooser.value.set_files(tmp_path / "scan.tiff")
    wait_for_another(page, before)
    page.wait_for_function("document.querySelector('#photo img')?.naturalWidth > 100")  # as the network sees it
    assert page.evaluate("document.querySelector('#photo img').src") == picture_urls(page)[0]
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename.endswith(".tiff") and page.faults == []


def test_own_photo_is_there_after_a_reload(page, harbor):
    """Gradio reloads the page when a connection that was lost is back."""

    def reloaded_shows(pictures: list[str]):
        page.reload()
        page.wait_for_function("src => document.querySelectorAll('#result img')[1]?.src === src", arg=pictures[1])

    color(page, harbor)
    page.click("#network >> text=Imagenette")  # a choice of the visitor's, which another photo would change
    page.wait_for_selector("#caption:not(:has-text('photos of any kind')) h2")
    own = picture_urls(page)
    assert "harbor" not in page.url
    reloaded_shows(own)
    pick_example(page, 1)
    wait_for_another(page, own)
    reloaded_shows(picture_urls(page))
    assert page.faults == []


def test_a_file_that_does_not_fit_leaves_the_photo(page, harbor, tmp_path):
    """What Gradio refuses would else empty the box, beside the coloring of what was in it."""
    before = color(page, harbor)
    (tmp_path / "note.txt").write_text("no photo")
    with (tmp_path / "huge.bmp").open("wb") as file:
        file.truncate(51 << 20)
    for name in ("note.txt", "huge.bmp"):
        with page.expect_file_chooser() as chooser:
            page.click("#choose")
        chooser.value.set_files(tmp_path / name)
        assert "is no photo, or larger than 50 MB" in said(page)
        page.click("[data-testid=toast-close]")
        page.wait_for_selector("[data-testid=toast-body]", state="detached")
        assert picture_urls(page) == before and page.locator("#photo .image-frame img").count() == 1
    assert page.faults == []


@pytest.mark.parametrize("kind", ["text", "half"])
def test_file_that_is_no_photo(page, demo, harbor, tmp_path, kind):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"Not a photo at all.\n" if kind == "text" else harbor.read_bytes()[:4000])
    upload(page, path)
    page.click("#colorize")
    message = said(page)
    assert "broken.jpg: " in message and str(demo.folder) not in message
    assert "Traceback" not in demo.log.read_text()


def test_photo_of_too_many_pixels(page, demo, tmp_path):
    Image.new("1", (9000, 8000)).save(tmp_path / "wall.png")
    upload(page, tmp_path / "wall.png")
    page.click("#colorize")
    assert "wall.png: more than 64 megapixels" in said(page)


def test_address_cannot_put_markup_into_the_page(page, demo):
    page.goto(f"{demo.url}/?decoder=%3Cimg%20src%3Dnowhere.png%3E")
    toast = page.locator("[data-testid=toast-text]")
    toast.wait_for()
    assert "<img src=nowhere.png>" in toast.inner_text()
    assert toast.locator("img").count() == 0
    assert not any(urlsplit(url).path.endswith("nowhere.png") for url in page.requests)


def test_names_of_files_and_sources_cannot_put_markup_into_the_page(page, tmp_path):
    """A toast is HTML. The first message is Gradio's own, of a file beyond its limit; the second is ours."""
    with (tmp_path / "<img src=nowhere.png onerror=alert(1)>.bmp").open("wb") as file:
        file.truncate(51 << 20)
    upload(page, Path(file.name), refused=True)
    assert "img src=nowhere.png" in said(page)
    enter_source(page, "<img src=nowhere.png>")
    assert page.locator("[data-testid=toast-body] img").count() == 0
    assert not any(urlsplit(url).path.endswith("nowhere.png") for url in page.requests)
