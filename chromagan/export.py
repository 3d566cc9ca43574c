"""A checkpoint as ONNX: the network without this package, checked against torch."""

import importlib.util
import json
import os
import tempfile
import warnings
from pathlib import Path

import torch

from chromagan import color
from chromagan.generator import ChromaGAN

PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # chromagan[onnx]
OPSET = 18


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
    Raises ExportError where a package is missing or the two differ by more than 0.01.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"ONNX export needs {', '.join(missing)}: pip install {' '.join(missing)}")
    import onnx

    model, config = model.float().cpu().eval(), model.config
    network = PhysicalUnits(model).eval()
    dynamic = {0: torch.export.Dim("batch")}
    if config.any_size:
        # Named by their cells: a side is a whole number of them.
        for dim, name in ((2, "rows"), (3, "columns")):
            dynamic[dim] = config.size_multiple * torch.export.Dim(f"{name}_of_{config.size_multiple}", min=1, max=512)
    sides = (config.image_size, config.image_size + config.size_multiple * config.any_size)
    example = 100 * torch.rand(2, 1, *sides, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), dynamo=True, input_names=["L"], output_names=["ab"],
            dynamic_shapes=(dynamic,), opset_version=OPSET, verbose=False,
        )  # fmt: skip
    proto = program.model_proto
    facts = {"config": json.dumps(vars(config)), "L": "CIELAB lightness, 0 to 100", "ab": "CIELAB units"} | (facts or {})
    onnx.helper.set_model_props(proto, facts)

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        written = Path(folder, path.name)
        onnx.save_model(proto, written)
        difference = largest_difference(network, written)
        if not difference <= 0.01:
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
