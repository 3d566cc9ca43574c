"""Contact sheets: one picture of many colorings, a row for each decoder, a column for each epoch."""

from contextlib import suppress
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from chromagan.imaging.metadata import notes_of
from chromagan.imaging.photo import srgb_image

CELL = 256  # longest side of one coloring, in pixels
GAP = 8
LABEL = 26  # height of a line of labels
PAPER, INK = (250, 250, 250), (40, 40, 40)
MARK = "chromagan: contact sheet"  # a comment in its file: by its name alone, it could be somebody's photo


def contact_sheet(colorings: dict[tuple[str, int], Image.Image], labels: dict[str, str]) -> Image.Image:
    """Labeled sRGB grid of `colorings`: (decoder, epoch) -> image, all of one shape. A missing pair is left blank.

    labels: the display name of every decoder, in the order of the rows.
    """
    decoders = [name for name in labels if any(name == decoder for decoder, _ in colorings)]
    epochs = sorted({epoch for _, epoch in colorings})
    heads = [f"epoch {epoch}" for epoch in epochs]
    cells = {key: _cell(image) for key, image in colorings.items()}
    width, height = (max(sizes) for sizes in zip(*(image.size for image in cells.values()), strict=True))

    font = ImageFont.load_default(15)
    margin = max(int(font.getlength(labels[name])) for name in decoders) + 2 * GAP
    # A strip may be thinner than its label.
    width, height = max(width, *(int(font.getlength(words)) for words in heads)), max(height, LABEL)
    size = margin + len(epochs) * (width + GAP), LABEL + len(decoders) * (height + GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, words in enumerate(heads):
        left = margin + column * (width + GAP)
        draw.text((left + width // 2, LABEL // 2), words, INK, font, anchor="mm")
    for row, decoder in enumerate(decoders):
        top = LABEL + row * (height + GAP)
        draw.text((margin - GAP, top + height // 2), labels[decoder], INK, font, anchor="rm")
        for column, epoch in enumerate(epochs):
            if cell := cells.get((decoder, epoch)):
                left = margin + column * (width + GAP)
                sheet.paste(cell, (left + (width - cell.width) // 2, top + (height - cell.height) // 2))
    sheet.info["notes"] = {"Comment": MARK}
    return sheet


def is_contact_sheet(path: Path) -> bool:
    """Whether a file is marked as a contact sheet, as `write_image` writes those of `contact_sheet`."""
    with suppress(Exception):  # a damaged file is none
        if path.is_file():  # opening a pipe would wait
            with Image.open(path, formats=["JPEG", "PNG"]) as image:
                return notes_of(image).get("Comment") == MARK
    return False


def _cell(image: Image.Image) -> Image.Image:
    """A coloring at the size of a cell, in sRGB: the sheet carries no profile."""
    image = image.copy()
    image.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    return srgb_image(image)
