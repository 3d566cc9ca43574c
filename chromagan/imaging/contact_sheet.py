"""One picture of many: labeled grids, and the contact sheets of colorings, by decoder and epoch."""

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

    A row for each decoder, a column for each epoch; those of a single epoch stand side by side, in one row.
    labels: the display name of every decoder, in the order of the rows.
    """
    decoders = [name for name in labels if any(name == decoder for decoder, _ in colorings)]
    epochs = sorted({epoch for _, epoch in colorings})
    cells = {key: _cell(image) for key, image in colorings.items()}
    rows = [[cells.get((decoder, epoch)) for epoch in epochs] for decoder in decoders]
    columns, names = [f"epoch {epoch}" for epoch in epochs], [labels[name] for name in decoders]
    if len(epochs) == 1:
        rows, columns, names = [list(column) for column in zip(*rows, strict=True)], names, columns
    sheet = labeled_grid(rows, columns, names)
    sheet.info["notes"] = {"Comment": MARK}
    return sheet


def labeled_grid(
    rows: list[list[Image.Image | None]], columns: list[str], names: list[str] | None = None
) -> Image.Image:
    """A sheet of pictures in their own pixels, with column titles and optional row names; None leaves a cell blank."""
    sizes = [cell.size for row in rows for cell in row if cell]
    font = ImageFont.load_default(15)
    # A strip may be thinner than its label.
    width = max(*(width for width, _ in sizes), *(int(font.getlength(title)) for title in columns))
    height = max(*(height for _, height in sizes), LABEL)
    margin = max(int(font.getlength(name)) for name in names) + 2 * GAP if names else GAP
    sheet = Image.new("RGB", (margin + len(columns) * (width + GAP), LABEL + len(rows) * (height + GAP)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(columns):
        draw.text((margin + column * (width + GAP) + width // 2, LABEL // 2), title, INK, font, anchor="mm")
    for index, row in enumerate(rows):
        top = LABEL + index * (height + GAP)
        if names:
            draw.text((margin - GAP, top + height // 2), names[index], INK, font, anchor="rm")
        for column, cell in enumerate(row):
            if cell:
                left = margin + column * (width + GAP)
                sheet.paste(cell, (left + (width - cell.width) // 2, top + (height - cell.height) // 2))
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
