"""A checkpoint as ONNX: the network without this package, checked against torch."""

import importlib.util
import io
import json
import os
import tempfile
import warnings
from pathlib import Path

import torch

from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color

PACKAGES = ("onnx", "onnxruntime")  # chromagan[onnx]
OPSET = 18
TOLERANCE = 0.01  # Lab units: a thousandth of what the eye can see


class ExportError(RuntimeError):
    """A network that cannot be written as ONNX, or one that answers differently there."""


class PhysicalUnits(torch.nn.Module):
    """The network in CIELAB units: L (B, 1, H, W) in [0, 100] -> ab (B, 2, H, W)."""

    def __init__(self, model: ChromaGAN):
        super().__init__()
        self.model = model

    def forward(self, L):
        return color.denormalize_ab(self.model(color.normalize_L(L)))


def export_onnx(model: ChromaGAN, path: str | os.PathLike, facts: dict[str, str] | None = None) -> float:
    """Write `model` to `path` as one ONNX file and return the largest difference of ab from torch, in Lab units.

    Input "L": float32 (batch, 1, height, width), CIELAB lightness in [0, 100]. Output "ab": float32 (batch, 2,
    height, width), CIELAB units. Batch, height and width are free where `model.config.any_size`, the sides multiples
    of `config.size_multiple`; else the sides are `config.image_size`. The file's metadata hold the config and `facts`.
    Raises ExportError where a package is missing or the two differ by more than TOLERANCE.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"ONNX export needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    import onnx

    model, config = model.float().cpu().eval(), model.config
    network = PhysicalUnits(model).eval()
    free = {0: "batch"} | ({2: "height", 3: "width"} if config.any_size else {})
    sides = (config.image_size, config.image_size + config.size_multiple * config.any_size)
    example = 100 * torch.rand(2, 1, *sides, generator=torch.Generator().manual_seed(0))
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # By tracing: 7 s. The exporter by torch.export takes minutes over sizes that are free, for the same network.
        torch.onnx.export(
            network, (example,), buffer, dynamo=False, input_names=["L"], output_names=["ab"],
            dynamic_axes={"L": free, "ab": free}, opset_version=OPSET,
        )  # fmt: skip
    proto = onnx.load_model_from_string(buffer.getvalue())
    onnx.helper.set_model_props(proto, {"config": json.dumps(vars(config)), **(facts or {})})

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        written = Path(folder, path.name)
        onnx.save_model(proto, written)
        difference = largest_difference(network, written)
        if not difference <= TOLERANCE:
            raise ExportError(f"the ONNX network differs from torch by {difference:.3g} Lab units: it was not written")
        os.replace(written, path)
    return difference


def largest_difference(network: PhysicalUnits, path: Path) -> float:
    """Largest difference of ab, in Lab units, between torch and onnxruntime, over batches and sizes that differ."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    config, generator = network.model.config, torch.Generator().manual_seed(1)
    step, side = config.size_multiple, config.image_size
    sizes = [(1, step, 3 * step), (3, side, 2 * step), (1, side - step, side)] if config.any_size else []
    differences = []
    for batch, height, width in [*sizes, (1, side, side)]:
        # Lightness with structure at all scales, as photographs have.
        L = sum(
            torch.nn.functional.interpolate(torch.rand(batch, 1, n, n, generator=generator), size=(height, width))
            for n in (2, 8, 32)
        )
        L = 100 * L / 3
        with torch.no_grad():
            expected = network(L)
        (answer,) = session.run(["ab"], {"L": L.numpy()})
        differences.append((torch.from_numpy(answer) - expected).abs().max().item())
    return max(differences)
