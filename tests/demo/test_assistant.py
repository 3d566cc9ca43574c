"""The tools that a demo that runs offers to assistants."""

import base64
import io

import numpy as np
from assistant import as_data, ask
from gradio_client import handle_file
from PIL import Image

from chromagan.imaging.chroma import MODES
from chromagan.network.decoders import DECODERS


def test_assistant_finds_four_tools_with_typed_arguments(demo):
    tools, _ = ask(demo.url)
    assert set(tools) == {"colorize", "matrix", "measure", "checkpoints"}
    for tool in tools.values():
        arguments = tool.inputSchema["properties"]
        assert tool.description and all(each["type"] and each["description"] for each in arguments.values())
        assert tool.inputSchema.get("required", []) == (["image"] if "image" in arguments else [])
    arguments = tools["colorize"].inputSchema["properties"]
    assert arguments["decoder"]["enum"] == ["", *DECODERS] and arguments["epoch"]["type"] == "integer"
    assert arguments["chroma"]["enum"] == list(MODES) and arguments["saturation"]["type"] == "number"


def test_assistant_gets_what_the_api_gives_and_the_same_refusals(demo, client, harbor):
    colorize, sent = "colorize", {"image": as_data(harbor)}
    _, (picture, table, listed, *refusals) = ask(
        demo.url,
        (colorize, sent | {"decoder": "transposed", "epoch": 0}),
        ("measure", sent | {"epoch": 0}),
        ("checkpoints", {}),
        (colorize, sent | {"decoder": "sharpest"}),
        (colorize, sent | {"saturation": 9}),
        (colorize, {"image": "/etc/hostname"}),
        (colorize, {"image": "data:image/png;base64,bm9uZQ=="}),
        (colorize, {"image": f"{demo.url}/manifest.json"}),
    )
    by_api = client.predict(handle_file(harbor), decoder="transposed", epoch=0, api_name="/colorize")
    assert picture.content[0].mimeType == "image/png"
    got, wanted = Image.open(io.BytesIO(base64.b64decode(picture.content[0].data))), Image.open(by_api)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))
    assert "'ciede2000'" in table.content[0].text and "'decoder': 'transposed'" in listed.content[0].text
    refused = [each.content[0].text for each in refusals if each.isError]
    of_this_network = f"no photo at {demo.url}/manifest.json: "
    wanted = ("sharpest", "0 to 3", "provide a url", "not an image", of_this_network)
    for words, text in zip(wanted, refused, strict=True):
        assert words in text and "\n" not in text
