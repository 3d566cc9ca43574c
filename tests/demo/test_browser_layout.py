"""The page in a real browser: narrow screens, names for screen readers, whom it asks, and its picture."""

from urllib.parse import urlsplit

import numpy as np
import pytest
from browsing import arrive, narrow_page, open_tab, pick_example, picture_urls, wait_for_another

from chromagan.demo.page import CSS, rendered
from chromagan.demo.paper import read_findings
from docs import make_picture


def test_wide_tables_keep_their_first_column_in_sight(visitor, demo):
    page = narrow_page(visitor, 390)
    page.goto(f"{demo.url}/?tab=about")
    page.wait_for_selector("#about .scroll")
    page.evaluate("document.querySelector('#about .scroll').scrollLeft = 300")
    table, name = (page.locator(f"#about .scroll {part} >> nth=0").bounding_box() for part in ("", "tbody th"))
    assert abs(name["x"] - table["x"]) < 1 and name["width"] < 0.45 * table["width"]
    page.close()


def test_no_verdict_covers_the_claim_beside_it(visitor):
    """With the shipped claims.json, which has every verdict, and the page's style."""
    page = narrow_page(visitor, 1280)
    page.set_content(
        f"<style>body {{ font-family: system-ui, sans-serif }} {CSS}</style>"
        + rendered("paper", findings=read_findings("study"))
    )
    rows = page.locator(".claims summary")
    assert rows.count() == 32 and len(set(page.locator(".claims .verdict").all_inner_texts())) == 4
    for row in rows.all():
        verdict, words = (row.locator(part).bounding_box() for part in (".verdict", "span"))
        assert verdict["x"] + verdict["width"] <= words["x"], row.inner_text()
    page.close()


def test_examples_have_names_for_screen_readers(page):
    page.wait_for_function("document.querySelectorAll('#examples button[aria-label]').length > 1")
    page.wait_for_function("!document.querySelector('#examples button:not([aria-label])')")
    names = page.locator("#examples button").evaluate_all("all => all.map(each => each.ariaLabel)")
    assert names[:2] == ["Example photo: rocket", "Example photo: cat"] and all(names)


def test_end_of_work_has_words_for_screen_readers(page):
    """Gradio says it by the key of a translation that it does not have."""
    page.evaluate("""() => {
        const status = document.querySelector('.sr-only[role=status]');
        window.said = [];
        new MutationObserver(() => said.push(status.textContent)).observe(status, {childList: true, subtree: true,
            characterData: true});
    }""")
    pick_example(page, 2)
    page.wait_for_function("said.includes('Done')", timeout=20_000)
    assert not any("." in words for words in page.evaluate("said"))


def test_what_has_the_focus_is_not_behind_the_picture(visitor, demo):
    """On the way back, too, where a browser would scroll it to the edge that the picture covers."""
    page = narrow_page(visitor, 1000)
    page.set_viewport_size({"width": 1000, "height": 480})
    arrive(page, demo.url)
    open_tab(page, "Matrix")
    page.wait_for_selector("#matrix [aria-pressed=true]")
    page.focus("#right input")
    reached = []
    while "fill" not in reached:
        page.keyboard.press("Shift+Tab")
        name, seen = page.evaluate("""async () => {
            for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);  // a browser scrolls then
            const focused = document.activeElement, box = focused.getBoundingClientRect();
            const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            return [focused.dataset.key ?? focused.id, focused.contains(top) || Boolean(top?.contains(focused))];
        }""")
        assert seen, name
        assert len(reached) < 30, reached
        reached.append(name)
    assert "compact/0" in reached
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_page_does_not_scroll_sideways(visitor, demo, scheme):
    page = narrow_page(visitor, 390)
    page.emulate_media(color_scheme=scheme)
    arrive(page, demo.url)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for part in ("#header", "#result", "#caption", "#photo", "#examples", "#network", "#decoder", "#download"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, part
    assert page.locator("#network").bounding_box()["width"] == page.locator("#options").bounding_box()["width"]
    for name, ready in (
        ("Refine", "#refined .legend"),
        ("Matrix", "#pair img"),
        ("Epochs", "#film .chart"),
        ("Measure", "#classes"),
        ("About", "#about"),
    ):
        open_tab(page, name)
        page.wait_for_selector(f"{ready} >> nth=0")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, name
    page.close()


def test_tabs_that_do_not_fit_are_reached_before_the_picture(visitor, demo):
    page = narrow_page(visitor, 320)
    arrive(page, demo.url)
    page.click(".overflow-menu > button >> visible=true")
    page.click(".overflow-dropdown button:has-text('About')")  # waits until nothing lies upon it
    page.wait_for_selector("#about >> visible=true")
    page.close()


def test_page_asks_nobody_else(page):
    page.click("#examples .gallery-item >> nth=2")
    wait_for_another(page, picture_urls(page))
    hosts = {urlsplit(url).hostname for url in page.requests if url.startswith("http")}
    assert hosts == {"127.0.0.1"}


def test_picture_of_the_readme_shows_the_example_and_the_tab_that_are_asked_for(browser, demo):
    asked = (("cat", "colorize"), ("coffee", "matrix"))
    pictures = [make_picture.take(browser, demo.url, *example_and_tab) for example_and_tab in asked]
    assert [picture.size for picture in pictures] == [(1280, 860), (1280, 1180)]
    cat, coffee = (np.asarray(picture.crop((0, 0, 1280, 860)), int) for picture in pictures)
    assert (np.abs(cat - coffee).max(axis=2) > 8).mean() > 0.1
    assert all(len(make_picture.encoded(picture)) <= make_picture.LIMIT for picture in pictures)
