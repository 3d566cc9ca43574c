"""The page in a real browser: one photo, its coloring, and what changes it."""

import numpy as np
from browsing import color, enter_source, give, pick_example, picture_urls, said, sizes, wait_for_another
from made_demo import lightness
from PIL import Image

from chromagan.colorizer import MOST_SATURATION


def test_arrival_shows_a_result(page):
    picture_urls(page)
    gray, color = sizes(page)
    assert gray == color and min(gray) > 200
    assert "Compact" in page.inner_text("#caption") and "epoch 3" in page.inner_text("#caption")
    assert "92,834 parameters" in page.inner_text("#caption")
    assert "CIEDE2000" not in page.inner_text("#caption")  # not measured


def test_photo_in_color_on_the_page_and_as_a_file(page, demo, harbor, tmp_path):
    before = color(page, harbor)
    assert sizes(page) == [[310, 203]] * 2
    page.wait_for_selector("#caption >> text=epoch 5")  # one's own photo: by the network for any kind
    assert page.locator("#network input:checked").get_attribute("value") == "general"
    page.wait_for_function("location.search.includes('network=general')")
    page.click("#network label >> text=Imagenette")
    page.wait_for_selector("#caption >> text=epoch 3")
    wait_for_another(page, before)
    before = picture_urls(page)

    page.click("#decoder >> text=Transposed convolutions")  # has no epoch 3: its recommended one is chosen
    page.wait_for_selector("#caption >> text=epoch 8")
    wait_for_another(page, before)
    caption = page.inner_text("#caption")
    assert all(word in caption for word in ("208,058 parameters", "9.87 CIEDE2000", "42%", "1,234 validation photos"))

    before = picture_urls(page)
    page.click("#epoch >> text=0")
    page.wait_for_selector("#caption >> text=before training")
    page.click("#colorize")
    picture_urls(page)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "harbor-transposed-epoch-0.jpg"
    download.value.save_as(tmp_path / "file")
    with Image.open(tmp_path / "file") as image:
        assert (image.format, image.size) == ("JPEG", (310, 203))
    assert np.abs(lightness(tmp_path / "file") - lightness(harbor)).mean() < 1  # JPEG itself costs about half of it
    assert page.faults == []


def test_large_photo_is_shown_small_and_saved_whole(page, tmp_path):
    Image.linear_gradient("L").resize((2000, 1500)).save(tmp_path / "large.png")
    color(page, tmp_path / "large.png")
    assert sizes(page) == [[1600, 1200]] * 2
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "large-general-compact-epoch-5-refined.png"
    with Image.open(download.value.path()) as image:
        assert (image.format, image.size) == ("PNG", (2000, 1500))


def test_divider_moves_by_keyboard_and_by_pointer(page):
    picture_urls(page)
    divider = page.locator("#result .compare input")
    assert divider.get_attribute("aria-label").startswith("Divider: Gray on the left")
    divider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert float(divider.input_value()) == 60  # 0.5 a step
    clip = "getComputedStyle(document.querySelector('#result img.over')).clipPath"
    assert "60%" in page.evaluate(clip)
    box = page.locator("#result .compare").bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert abs(float(divider.input_value()) - 20) < 2
    assert all(page.evaluate("[...document.querySelectorAll('#result img')].map(image => image.alt)"))


def test_options_change_the_picture(page):
    before = picture_urls(page)
    page.click("#options >> text=Options")
    page.click("#chroma >> text=Bilinear")
    wait_for_another(page, before)
    before = picture_urls(page)
    assert page.get_attribute("#saturation input[type=range]", "max") == f"{MOST_SATURATION}"
    page.focus("#saturation input[type=range]")  # without a pointer, too
    page.keyboard.press("ArrowRight")
    wait_for_another(page, before)


def test_a_number_may_be_deleted_to_type_another(page):
    before = picture_urls(page)
    page.click("#options >> text=Options")
    number = page.locator("#saturation input[type=number]")
    number.click()
    number.press("End")
    number.press("Backspace")
    page.keyboard.press("Tab")
    assert number.input_value() == "1"  # it still applies
    number.click()
    number.press("End")
    number.press("Backspace")
    page.wait_for_timeout(800)  # in which it would be colored, and refused
    assert picture_urls(page) == before
    page.keyboard.type("2")
    wait_for_another(page, before)
    assert not page.locator("[data-testid=toast-body]").count()


def test_source_out_of_reach_falls_back_visibly(page):
    enter_source(page, "nobody/nothing")
    assert "own checkpoints are used" in said(page)
    assert page.input_value("#source textarea, #source input") == ""
    page.click("#decoder >> text=Transposed convolutions")
    page.wait_for_selector("#caption >> text=Transposed convolutions")


def test_the_network_is_a_choice_that_a_link_carries(page, visitor):
    assert page.locator("#network input:checked").get_attribute("value") == "study"  # of an example
    page.click("#network label >> text=Photos of any kind")
    page.wait_for_selector("#caption >> text=epoch 5")
    page.wait_for_function("location.search.includes('network=general') && location.search.includes('epoch=5')")
    other = visitor.new_page()
    other.goto(page.url)
    other.wait_for_selector("#caption >> text=epoch 5")
    other.click("#examples .gallery-item >> nth=1")  # an example is the study's again
    other.wait_for_selector("#caption >> text=epoch 3")
    assert other.locator("#network input:checked").get_attribute("value") == "study"
    other.close()
    assert page.faults == []


def test_example_is_colored_when_picked(page):
    before = picture_urls(page)
    page.click("#examples .gallery-item >> nth=1")
    wait_for_another(page, before)
    assert page.faults == []


SETTLED = 500  # ms, after which nothing of what was given before can still arrive


def test_the_stage_ends_up_with_the_last_of_many_clicks(page):
    """An event of Gradio that comes while the same event is at work is dropped unless it says otherwise."""
    clicks = """async values => {
        for (const value of values) {
            document.querySelector(`#decoder input[value=${value}]`).click();
            await new Promise(done => setTimeout(done, 30));
        }
    }"""
    labels = {"compact": "Compact", "transposed": "Transposed convolutions"}
    for last, other in (("transposed", "compact"), ("compact", "transposed")):
        page.evaluate(clicks, [last, other, last, other, last])
        page.wait_for_selector(f"#caption h2:has-text('{labels[last]}')")
        page.wait_for_timeout(SETTLED)
        assert page.input_value("#decoder input:checked") == last
        assert page.inner_text("#caption h2").startswith(labels[last])
        assert page.inner_text("#result .tag.end").startswith(labels[last])
    assert page.faults == []


def test_the_stage_ends_up_with_the_last_of_two_photos(page, harbor, tmp_path):
    """Given within moments: an example and one's own photo, one's own and an example, two of one's own."""
    Image.linear_gradient("L").resize((300, 150)).save(tmp_path / "wide.png")

    def settles(condition, network):
        """condition: JavaScript, of the width and the height that both pictures have in the end."""
        images = "[...document.querySelectorAll('#result img')]"
        size = f"{images}.every(image => (({{naturalWidth: width, naturalHeight: height}}) => {condition})(image))"
        right = (
            f"{images}.length == 2 && {size} && document.querySelector('#network input:checked').value == '{network}'"
        )
        page.wait_for_function(right)
        page.wait_for_timeout(SETTLED)
        picture_urls(page)  # one that was just drawn has no size yet
        assert page.evaluate(right)

    pick_example(page, 1)
    give(page, harbor)
    settles("width == 310 && height == 203", "general")
    give(page, tmp_path / "wide.png")
    pick_example(page, 1)
    settles("width > 310", "study")
    give(page, harbor)
    give(page, tmp_path / "wide.png")
    settles("width == 300 && height == 150", "general")
    page.click("#photo [aria-label='Remove Image']")
    page.wait_for_selector("#result .invitation")
    page.wait_for_timeout(SETTLED)
    assert page.locator("#result .invitation").count() == 1 and page.locator("#result img").count() == 0
    assert page.faults == []


LATE = """late => {  // pairs: a part of a request's address or body, and how many ms late its answer is, once
    const fetch = window.fetch;
    window.fetch = async (address, ...rest) => {
        const request = `${address?.url ?? address} ${rest[0]?.body}`;
        const index = late.findIndex(([part]) => request.includes(part));
        const delays = index < 0 ? [] : late.splice(index, 1);
        const answer = await fetch(address, ...rest);
        for (const [, delay] of delays) await new Promise(done => setTimeout(done, delay));
        return answer;
    };
}"""


WATCH = """() => {  // the widths of the colorings that the stage shows from now on, one after another
    window.seen = [];
    let last = '';
    new MutationObserver(() => {
        const image = document.querySelectorAll('#result img')[1];
        if (image && image.src !== last) image.decode().then(() => window.seen.push(String(image.naturalWidth)));
        last = image?.src ?? '';
    }).observe(document.querySelector('#result'), {subtree: true, childList: true, attributeFilter: ['src']});
}"""


def test_a_late_answer_changes_nothing_that_was_selected_since(page, harbor):
    """As over a slow network, where answers do not come in the order of the requests."""
    late = [["/run/predict", 2 * SETTLED]]
    page.evaluate(LATE, late)
    pick_example(page, 1)
    give(page, harbor)
    page.wait_for_selector("#caption >> text=epoch 5")
    page.wait_for_timeout(3 * SETTLED)
    assert sizes(page) == [[310, 203]] * 2
    assert page.input_value("#network input:checked") == "general"
    assert "example" not in page.evaluate("location.search")

    # What follows from the removed photo comes when the next is there: it is not colored by the network of an example.
    pick_example(page, 0)
    page.wait_for_selector("#caption >> text=epoch 3")
    page.evaluate(WATCH)
    page.evaluate(LATE, [["harbor.jpg", 2 * SETTLED], ["/run/predict", SETTLED]])
    give(page, harbor)
    page.wait_for_selector("#caption >> text=epoch 5")
    page.wait_for_function("window.seen.includes('310')")  # decoded
    assert page.evaluate("window.seen").count("310") == 1

    page.evaluate(LATE, [["/upload", 2 * SETTLED]])
    give(page, harbor)
    pick_example(page, 1)
    page.wait_for_selector("#caption >> text=epoch 3")
    page.wait_for_timeout(3 * SETTLED)
    assert sizes(page)[0][0] > 310 and page.input_value("#network input:checked") == "study"
    assert "example=cat" in page.evaluate("location.search")

    page.click("#network label >> text=Photos of any kind")
    page.wait_for_selector("#caption >> text=epoch 5")
    page.evaluate(LATE, late)
    page.click("#network label >> text=Imagenette")
    page.click("#decoder >> text=Transposed convolutions")
    page.wait_for_selector("#caption >> text=epoch 8")
    page.wait_for_timeout(SETTLED)
    chosen = [page.input_value(f"#{name} input:checked") for name in ("network", "decoder", "epoch")]
    assert chosen == ["study", "transposed", "8"] and "Transposed" in page.inner_text("#caption")
    assert page.faults == []


CLOSES_LATE = """delay => {  // the end of each stream of answers is heard so many ms late, as by a busy page
    const fetch = window.fetch;
    window.fetch = async (...request) => {
        const answer = await fetch(...request);
        if (!answer.url.includes('/queue/data')) return answer;
        const late = {async transform(chunk, controller) {
            const at = new TextDecoder('latin1').decode(chunk).search(/data: .{0,20}close_stream/);
            if (at < 0) return controller.enqueue(chunk);
            if (at) controller.enqueue(chunk.slice(0, at));
            await new Promise(done => setTimeout(done, delay));
            controller.enqueue(chunk.slice(at));
        }};
        return new Response(answer.body.pipeThrough(new TransformStream(late)), answer);
    };
}"""


def test_a_coloring_is_not_lost_where_the_stream_of_answers_closes(page):
    """Gradio's browser client waits for ever for an event that is acknowledged just before such a stream ends."""
    picture_urls(page)
    decoders = ("Transposed convolutions", "Compact")

    def requests_for(decoders) -> int:
        page.wait_for_timeout(SETTLED)
        page.requests.clear()
        for decoder in decoders:
            page.click(f"#decoder >> text={decoder}")
            page.wait_for_selector(f"#caption h2:has-text('{decoder}')")
        page.wait_for_timeout(SETTLED)
        return sum("/queue/join" in url for url in page.requests)

    assert requests_for(decoders) == 2
    page.evaluate(CLOSES_LATE, 3 * SETTLED)
    assert requests_for(2 * decoders) > 4  # also those without effect that make it open a stream
    assert page.faults == []
