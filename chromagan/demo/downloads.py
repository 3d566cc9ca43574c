"""Files for download: a coloring in its photo's format, an animation through the epochs, all colorings as a ZIP."""

import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageDraw, ImageFont

import chromagan
from chromagan.hub.checkpoints import STUDY, Checkpoint
from chromagan.imaging.contact_sheet import contact_sheet
from chromagan.imaging.writing import encode_image, fitting_name
from chromagan.network.decoders import DECODERS, LABELS

FRAME_MS, LAST_FRAME_MS = 900, 1800  # the last epoch stays twice as long, so that the end is visible
ANIMATIONS = {"webp": "WEBP", "gif": "GIF"}
LIGHTLY = {".png": {"compress_level": 2}}  # a user waits: a third of the time for 8 % more bytes
LABEL = 26  # pixels, height of the line that labels an animation's frame
LONGEST_NAME = 120  # bytes, to stay readable


def result_suffix(image: Image.Image, source_format: str | None) -> str:
    """The suffix of a result's file: that of the photo's format, but .png if that cannot hold it or is slow to write.

    source_format: Pillow's name; None for a photo that does not come from a file.
    """
    if source_format in ("JPEG", "MPO", "HEIF") and image.mode == "RGB":
        return ".jpg"  # written in a tenth of the time of a PNG
    return ".webp" if source_format == "WEBP" else ".tiff" if source_format == "TIFF" else ".png"


def file_name(photo: str, source: str, checkpoint: Checkpoint, suffix: str, refined: bool = False) -> str:
    """The name of a download, such as harbor-general-compact-epoch-8-refined.jpg: which photo, networks and epoch."""
    return named(photo, source, f"{checkpoint.decoder}-epoch-{checkpoint.epoch}{'-refined' * refined}{suffix}")


def named(photo: str | Path, source: str, ending: str) -> str:
    """The name of a file made from a photo: the photo's name, shortened if necessary, the source and `ending`.

    source: as in `Options`. The study is not named, and of a Hub prefix only the part after the slash.
    """
    networks = "" if source == STUDY else f"{source.rpartition('/')[2]}-"
    return fitting_name(Path(photo).stem, f"-{networks}{ending}", LONGEST_NAME)


def encode(image: Image.Image, suffix: str) -> bytes:
    """`image` as a file of that suffix, at the command line's quality."""
    return encode_image(image, Image.registered_extensions()[suffix], **LIGHTLY.get(suffix, {}))


def encode_shown(image: Image.Image) -> tuple[bytes, str]:
    """`image` as a file for the page, and its suffix: JPEG without chroma subsampling, PNG if it is transparent."""
    file = io.BytesIO()
    if image.mode in ("RGB", "L"):
        image.save(file, "JPEG", quality=95, subsampling=0)
        return file.getvalue(), ".jpg"
    image.save(file, "PNG", compress_level=1)
    return file.getvalue(), ".png"


def animation(frames: Iterable[tuple[str, Image.Image]], kind: str) -> bytes:
    """Labeled frames, all of one size, as an endless WebP or GIF; ValueError for another `kind` or no frames.

    A GIF's frames share one palette of 256 colors, computed from all of them: one palette each would flicker.
    """
    if kind not in ANIMATIONS:
        raise ValueError(f"unknown animation {kind!r}; choose from {', '.join(ANIMATIONS)}")
    pictures = [_labelled(image, label) for label, image in frames]
    if not pictures:
        raise ValueError("an animation needs at least one frame")
    if kind == "gif":
        strip = Image.new("RGB", (pictures[0].width, sum(picture.height for picture in pictures)))
        top = 0
        for picture in pictures:
            strip.paste(picture, (0, top))
            top += picture.height
        palette = strip.quantize(256, method=Image.Quantize.MEDIANCUT)
        pictures = [picture.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for picture in pictures]
    durations = [FRAME_MS] * (len(pictures) - 1) + [LAST_FRAME_MS]
    options = {"quality": 90, "method": 2} if kind == "webp" else {"optimize": False}
    file = io.BytesIO()
    pictures[0].save(
        file, ANIMATIONS[kind], save_all=True, append_images=pictures[1:], duration=durations, loop=0, **options
    )
    return file.getvalue()


def _labelled(image: Image.Image, label: str) -> Image.Image:
    """`image` with a line below it that holds `label`."""
    sheet = Image.new("RGB", (image.width, image.height + LABEL), (24, 24, 24))
    sheet.paste(image.convert("RGB"), (0, 0))
    font = ImageFont.load_default(14)
    ImageDraw.Draw(sheet).text((10, image.height + LABEL // 2), label, (235, 235, 235), font, anchor="lm")
    return sheet


def write_archive(
    file: BinaryIO,
    photo: str,
    source: str,
    checkpoints: list[Checkpoint],
    color: Callable[[Checkpoint], Image.Image],
    suffix: str | None,
    options: dict,
) -> Iterator[int]:
    """Write a ZIP of all colorings to `file`, yielding how many are done.

    The ZIP also holds a contact sheet and `record.json`, which describes each file. One picture is in memory at a time.
    photo: the name of its file. color: returns the full-size result of a checkpoint. suffix: of the pictures' files.
    options: rendering options, for the record.
    """
    colorings, small = [], {}
    # Pictures are already compressed: deflating them again costs time and gains nothing.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for done, checkpoint in enumerate(checkpoints, 1):
            image = color(checkpoint)
            name = file_name(photo, source, checkpoint, suffix)
            archive.writestr(name, encode(image, suffix))
            thumbnail = image.copy()
            thumbnail.thumbnail((320, 320))
            small[checkpoint.decoder, checkpoint.epoch] = thumbnail
            colorings.append({"file": name, "decoder": checkpoint.decoder, "epoch": checkpoint.epoch})
            size = image.size
            yield done
        archive.writestr("contact-sheet.png", encode(contact_sheet(small, LABELS), ".png"))
        record = {
            "photo": photo,
            "width": size[0],
            "height": size[1],
            "source": source,
            "options": options,
            "decoders": {
                name: {"label": spec.label, "parameters": spec.num_params}
                for name, spec in DECODERS.items()
                if any(name == checkpoint.decoder for checkpoint in checkpoints)
            },
            "colorings": colorings,
            "made_with": f"ChromaGAN Studio {chromagan.__version__}",
        }
        archive.writestr("record.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
