"""The page in a real browser: what the other tabs show of a photo, and the address that brings a view back."""

import zipfile
from pathlib import Path

import numpy as np
from browsing import open_tab, upload
from PIL import Image

from chromagan.network.refiner import ACTIONS


def test_matrix_fills_and_compares_any_two(page, harbor):
    upload(page, harbor)
    open_tab(page, "Matrix")  # is filled without being asked
    page.wait_for_function("document.querySelectorAll('#matrix button.ready').length == 5")
    page.wait_for_selector("#pair img")
    assert page.locator("#matrix [data-key]").count() == 5 and page.locator("#matrix .none").count() == 3
    assert page.locator("#matrix [data-key='transposed/8']").get_attribute("aria-label") == (
        "Transposed convolutions, epoch 8"
    )
    page.click("#matrix [data-key='transposed/8']")
    page.wait_for_selector("#pair .tag.end:has-text('Transposed convolutions, epoch 8')")
    page.focus("#matrix [data-key='compact/0']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair .tag.end:has-text('Compact, before training')")
    assert page.inner_text("#pair .tag.start") == "Transposed convolutions, epoch 8"
    page.wait_for_selector("#matrix [data-key='transposed/8'][aria-pressed=true]")
    colored = page.get_attribute("#matrix [data-key='transposed/8'] img", "src")
    page.click("#options >> text=Options")
    page.fill("#saturation input[type=number]", "0")
    page.keyboard.press("Enter")  # what is shown follows, and the two that were chosen stay
    page.wait_for_function(f"document.querySelector(`[data-key='transposed/8'] img`).src !== '{colored}'")
    page.wait_for_selector("#matrix [data-key='transposed/8'][aria-pressed=true]")
    assert page.inner_text("#pair .tag.start") == "Transposed convolutions, epoch 8"
    with page.expect_download() as download:
        page.click("#zip")
    assert download.value.suggested_filename == "harbor-matrix.zip"
    assert len(zipfile.ZipFile(download.value.path()).namelist()) == 7
    assert page.faults == []


def test_stop_ends_long_work(page, harbor, tmp_path):
    """One long request runs at a time: had the first gone on, its file would have come before the second's grid."""
    downloads = []
    page.on("download", lambda download: downloads.append(download))
    Image.effect_noise((4000, 3000), 60).save(tmp_path / "large.png")  # takes many seconds to pack, on any machine
    upload(page, tmp_path / "large.png")
    open_tab(page, "Matrix")
    page.wait_for_function("document.querySelectorAll('#matrix button.ready').length == 5")
    before = page.evaluate("document.querySelector('#matrix button.ready img').src")
    page.wait_for_selector("#pair img")
    page.click("#zip")
    page.wait_for_selector("#pair >> text=colorings")  # the filling has "processing" at the same place
    page.click("#stop-fill")
    upload(page, harbor)
    page.wait_for_function(
        "before => (ready => ready.length == 5 && ready.every(image => image.src != before))"
        "([...document.querySelectorAll('#matrix button.ready img')])",
        arg=before,
    )
    assert downloads == [] and page.faults == []


def test_epochs_scrub_play_and_animate(page, harbor):
    upload(page, harbor)
    open_tab(page, "Epochs")
    page.wait_for_selector("#film .scrubber")
    visible = "[...document.querySelectorAll('#film .frames img')].findIndex(image => !image.hidden)"
    assert page.evaluate(visible) == 1
    page.focus("#film input")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(visible) == 0 and page.inner_text("#film .tag") == "before training"
    assert page.locator("#film .dot.now title").first.text_content().startswith("epoch 0")
    assert page.locator("#film .chart").count() == 3  # the photo has colors
    boxes = "[...document.querySelectorAll('#film input, #film .ticks button')].map(box => box.getBoundingClientRect())"
    rail, *ticks = page.evaluate(f"{boxes}.map(({{left, right, top}}) => [left, right, top])")
    thumb = 16  # pixels, in Chromium; at the ends of the rail it stands inside
    ends = [rail[0] + thumb / 2, rail[1] - thumb / 2]
    assert np.allclose([(left + right) / 2 for left, right, _ in ticks], ends, atol=1)
    assert len({top for *_, top in ticks}) == 1
    page.click("#film .play")
    page.wait_for_function(f"{visible} == 1")
    with page.expect_download() as download:
        page.click("#webp")
    assert download.value.suggested_filename == "harbor-compact-epochs.webp"
    with Image.open(download.value.path()) as image:
        assert (image.format, image.n_frames) == ("WEBP", 2)

    # Another photo while it plays: Gradio patches the pictures of the same scrubber, which begins anew.
    page.focus("#film input")
    page.keyboard.press("ArrowLeft")
    page.click("#film .play")
    before = page.get_attribute("#film .frames img", "src")
    page.click("#examples .gallery-item >> nth=1")
    page.wait_for_function(f"document.querySelector('#film .frames img').src !== '{before}'")
    page.wait_for_function(f"document.querySelector('#film .play').ariaPressed === 'false' && {visible} === 1")
    assert page.input_value("#film input") == "1"
    assert page.faults == []


def test_refiner_shows_its_steps_and_what_pixels_did(page, harbor):
    upload(page, harbor)
    open_tab(page, "Refine")  # is filled without being asked, at the last step
    page.wait_for_selector("#refined .tag.end:has-text('Step 2 of 2')")
    assert page.inner_text("#refined .tag.start") == "Before"
    legend = page.inner_text("#refined .legend")
    assert any(action in legend for action in ACTIONS) and " 0 %" not in legend
    page.click("#step-view >> text=Action per pixel")
    page.wait_for_selector("#refined .tag.end:has-text('Step 2: actions')")
    page.focus("#step input[type=range]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#refined .tag.end:has-text('Step 1: actions')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#refined .tag.end:has-text('Before')")
    assert page.locator("#refined .legend").count() == 0 and page.faults == []


def test_measures_of_a_photo_in_color(page, harbor):
    upload(page, harbor)
    open_tab(page, "Measure")
    page.wait_for_selector("#table >> text=Transposed convolutions, epoch 6")  # by the network for photos of any kind
    assert page.locator("#table tbody tr").count() == 3 and "Each decoder's own" in page.inner_text("#measured-at")
    page.click("#network label >> text=Imagenette")  # is measured anew: at epoch 3, that of the recommended checkpoint
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length == 2")
    assert "CIEDE2000" in page.inner_text("#table")
    page.click("#measured-at >> text=0")
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length == 3")
    assert page.locator("#table td.best").count() == 8
    page.wait_for_selector("#errors .tag.end:has-text('CIEDE2000')")
    page.click("#view >> text=Boundaries")
    page.wait_for_selector("#errors .tag.end:has-text('Boundaries')")
    assert page.locator("#seen tbody tr").count() == 10 and "Vivid colors kept, %" in page.inner_text("#seen")
    for view, words in (
        ("False red", "red where the photo is not"),
        ("Small spots", "small spot"),
        ("Border", "4 pix"),
    ):
        page.click(f"#view >> text={view}")
        page.wait_for_selector(f"#errors .legend:has-text('{words}')")
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.suggested_filename == "harbor-epoch-0-measures.csv"
    assert Path(download.value.path()).read_text().startswith("name,psnr,ssim,ciede2000")
    assert page.faults == []


def test_measures_of_a_gray_photo_say_what_cannot_be_measured(page):
    open_tab(page, "Measure")
    page.click("#examples .gallery-item >> nth=4")
    page.wait_for_selector("#table >> text=no true colors")
    assert page.faults == []


def test_view_is_in_the_address_and_comes_back(page, visitor, demo):
    page.click("#examples .gallery-item >> nth=1")
    page.click("#decoder >> text=Transposed convolutions")  # while the example is colored: the click stays
    page.wait_for_selector("#caption >> text=epoch 8")
    open_tab(page, "Epochs")
    page.wait_for_function("location.search.includes('tab=epochs')")
    page.wait_for_function("location.search.includes('example=cat')")
    assert "decoder=transposed" in page.url and "epoch=8" in page.url
    page.click("#epochs-of >> text=Transposed convolutions")
    page.wait_for_function("location.search.includes('epochs-of=transposed')")
    open_tab(page, "Measure")
    page.click("#measured-at >> text=0")
    page.wait_for_function("location.search.includes('measured-at=0')")
    open_tab(page, "Matrix")
    page.click("#matrix [data-key='transposed/0']")
    page.wait_for_function("location.search.includes('right=transposed%2F0') && location.search.includes('tab=matrix')")
    other = visitor.new_page()
    other.goto(page.url)
    other.wait_for_selector("#pair .tag.end:has-text('Transposed convolutions, before training')")
    open_tab(other, "Epochs")
    other.wait_for_selector("#film .scrubber")
    assert "Transposed" in other.locator("#film .frames img").first.get_attribute("alt")
    open_tab(other, "Measure")
    other.wait_for_selector("#table >> text=Epoch 0, this one photo")
    other.goto(f"{demo.url}/?decoder=transposed&tab=epochs")  # as someone would write it
    other.wait_for_selector("#film .scrubber")
    assert "Transposed" in other.locator("#film .frames img").first.get_attribute("alt")
    other.close()
