"""Export of a checkpoint, or a step of its refiner, to ONNX, to run it without this package; checked against torch."""

import contextlib
import importlib.util
import io
import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from chromagan.atomic import replacing
from chromagan.errors import ChromaGANError
from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.network.refiner import ACTIONS, Refiner, halve, select_action
from chromagan.network.trunk import Trunk
from chromagan.programs import make_folder

PACKAGES = ("onnx", "onnxruntime")  # chromagan[onnx]
OPSET = 18
TOLERANCE = 0.01  # Lab units, far below what the eye can see
FLIPPED = 1e-3  # share of pixels whose action may differ: rounding decides between equally good actions


class ExportError(ChromaGANError, RuntimeError):
    """A network that cannot be exported to ONNX, or to that path, or that differs from torch after export."""


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
    height, width), CIELAB units. Batch, height and width are dynamic if `model.config.any_size`, with sides that are
    multiples of `config.size_multiple`; else the sides are `config.image_size`. The file's metadata hold the config and
    `facts`. Raises ExportError if a package is missing or the two differ by more than TOLERANCE.
    """
    model, config = model.float().cpu().eval(), model.config
    network = PhysicalUnits(model).eval()
    free = {0: "batch"} | ({2: "height", 3: "width"} if config.any_size else {})
    sides = (config.image_size, config.image_size + config.size_multiple * config.any_size)
    example = 100 * torch.rand(2, 1, *sides, generator=torch.Generator().manual_seed(0))
    facts = {"config": json.dumps(vars(config)), **(facts or {})}

    def check(path: Path) -> float:
        difference = largest_difference(network, path)
        if not difference <= TOLERANCE:
            raise ExportError(f"the ONNX network differs from torch by {difference:.3g} Lab units: it was not written")
        return difference

    return _export(network, {"L": example}, ["ab"], {"L": free, "ab": free}, facts, Path(path), check)


class RefinerStep(torch.nn.Module):
    """One step of a refiner in CIELAB units, with the trunk that it reads."""

    def __init__(self, refiner: Refiner, trunk: Trunk):
        super().__init__()
        self.refiner, self.trunk = refiner, trunk

    def forward(self, L, before, ab, step):
        L, before, ab = color.normalize_L(L), color.normalize_ab(before), color.normalize_ab(ab)
        context = self.refiner.context(self.trunk(L), L, before)
        outcomes = self.refiner.apply_each_action(ab, self.refiner.bilateral_weights(halve(L)))
        actions = self.refiner.best(context, ab, outcomes, step)
        return color.denormalize_ab(select_action(outcomes, actions)), actions


def export_refiner(refiner: Refiner, trunk: Trunk, path: str | os.PathLike) -> float:
    """Write one step of `refiner`, with `trunk`, to `path` as one ONNX file, and return the largest share of pixels at
    which its result differs from torch.

    Inputs, float32, with dynamic batch and sides: "L" (batch, 1, height, width) in [0, 100], sides multiples of 32;
    "before" and "ab" (batch, 2, height/2, width/2), CIELAB units: the coloring before the first step and the current
    one, means over 2 x 2 pixels of a network's output; "step", int64, the index of the step, from 0. Outputs: "next",
    like "ab"; "actions", int64 (batch, height/2, width/2). The trunk runs in every step: for several steps this package
    is faster. Raises ExportError if a package is missing or more than FLIPPED of the pixels differ.
    """
    network = RefinerStep(refiner.float().cpu().eval(), trunk.float().cpu().eval()).eval()
    inputs = _step_inputs(2, 64, 96, seed=0)
    whole, half = ({0: "batch", 2: f"height{part}", 3: f"width{part}"} for part in ("", "/2"))
    axes = {"L": whole, "before": half, "ab": half, "next": half, "actions": {0: "batch", 1: "height/2", 2: "width/2"}}

    def check(path: Path) -> float:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        shares = []
        for seed, size in enumerate(((1, 224, 224), (3, 32, 160)), 1):
            given = _step_inputs(*size, seed)
            with torch.no_grad():
                expected, _ = network(*given.values())
            answer, _ = session.run(["next", "actions"], {name: value.numpy() for name, value in given.items()})
            differs = (torch.from_numpy(answer) - expected).abs().amax(dim=1) > TOLERANCE
            shares.append(differs.double().mean().item())
        if not max(shares) <= FLIPPED:
            raise ExportError(f"the ONNX step differs from torch at {max(shares):.2%} of pixels: it was not written")
        return max(shares)

    facts = {"config": json.dumps(vars(refiner.config)), "actions": json.dumps(ACTIONS)}
    return _export(network, inputs, ["next", "actions"], axes, facts, Path(path), check)


def _step_inputs(batch: int, height: int, width: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    before, ab = (40 * torch.rand(batch, 2, height // 2, width // 2, generator=generator) - 20 for _ in range(2))
    L = 100 * torch.rand(batch, 1, height, width, generator=generator)
    return {"L": L, "before": before, "ab": ab, "step": torch.tensor(1)}


def _export(network, inputs: dict, outputs: list[str], axes: dict, facts: dict, path: Path, check: Callable) -> float:
    """Trace `network` and write it to `path` atomically after `check` has accepted the file; return its result."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"ONNX export needs {' and '.join(missing)}: pip install {' '.join(missing)}")
    import onnx

    buffer = io.BytesIO()
    try:
        # torch prints the graph of a network that it cannot convert: thousands of lines.
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            # By tracing: 7 s. The torch.export-based exporter takes minutes with dynamic sizes, for the same network.
            torch.onnx.export(
                network, tuple(inputs.values()), buffer, dynamo=False, input_names=list(inputs), output_names=outputs,
                dynamic_axes=axes, opset_version=OPSET,
            )  # fmt: skip
    except Exception as error:  # of many kinds
        raise _no_onnx(error) from error
    proto = onnx.load_model_from_string(buffer.getvalue())
    onnx.helper.set_model_props(proto, facts)
    try:
        make_folder(path.parent)
        with replacing(path) as part:
            onnx.save_model(proto, part)
            checked = check(part)
    except OSError as error:
        raise ExportError(f"{path}: it cannot be written: {error.strerror or error}") from error
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's are of many kinds: a shape that tracing has made constant
        raise _no_onnx(error) from error
    return checked


def _no_onnx(error: Exception) -> ExportError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return ExportError(f"this network has layers that cannot be exported to ONNX: {reason:.200}")


def largest_difference(network: PhysicalUnits, path: Path) -> float:
    """Largest difference of ab, in Lab units, between torch and onnxruntime, over several batch and image sizes."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    config, generator = network.model.config, torch.Generator().manual_seed(1)
    step, side = config.size_multiple, config.image_size
    sizes = [(1, step, 3 * step), (3, side, 2 * step), (1, side - step, side)] if config.any_size else []
    differences = []
    for batch, height, width in [*sizes, (1, side, side)]:
        # Lightness with structure at all scales, like a photograph.
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
