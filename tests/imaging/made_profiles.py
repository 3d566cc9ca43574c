"""ICC profiles made for the tests: matrix, curve and table; RGB, gray, CMYK; and their mathematics a second time."""

import struct
from collections.abc import Callable

import numpy as np

# Columns are the primaries, adapted to D50, as profiles hold them.
PRIMARIES = {
    "srgb": ((0.43607, 0.38515, 0.14307), (0.22249, 0.71687, 0.06061), (0.01392, 0.09708, 0.71410)),
    "adobe": ((0.60974, 0.20528, 0.14919), (0.31111, 0.62567, 0.06322), (0.01947, 0.06087, 0.74457)),
    "prophoto": ((0.79767, 0.13519, 0.03134), (0.28804, 0.71188, 0.00009), (0.0, 0.0, 0.82491)),
    "p3": ((0.51512, 0.29198, 0.15710), (0.24120, 0.69225, 0.06657), (-0.00105, 0.04189, 0.78407)),
    "narrow": ((0.38, 0.40, 0.1842), (0.24, 0.68, 0.08), (0.04, 0.13, 0.6549)),  # of a cheap display
}  # fmt: skip
D50 = (0.9642, 1.0, 0.8249)


def srgb_curve(x: np.ndarray) -> np.ndarray:
    """sRGB's encoded value -> linear."""
    return np.where(x <= 0.04045, x / 12.92, ((np.maximum(x, 0) + 0.055) / 1.055) ** 2.4)


def _s15(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))


def _xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + _s15(*values)


def _curve(curve: float | Callable | np.ndarray) -> bytes:
    """A number is a gamma, a function or an array a table."""
    if isinstance(curve, float):
        return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * curve))
    table = curve(np.linspace(0, 1, 1024)) if callable(curve) else curve
    return b"curv\0\0\0\0" + struct.pack(f">I{len(table)}H", len(table), *np.rint(65535 * table).astype(int))


def _table(inputs: int, outputs: int, lut: np.ndarray) -> bytes:
    """mft2: straight curves around a table of `lut`, (points,) * inputs + (outputs,), in [0, 1]."""
    points = lut.shape[0]
    head = struct.pack(">BBBx", inputs, outputs, points) + _s15(1, 0, 0, 0, 1, 0, 0, 0, 1) + struct.pack(">HH", 2, 2)
    straight = struct.pack(">HH", 0, 65535)
    values = np.rint(65535 * lut.clip(0, 1)).astype(">u2").tobytes()
    return b"mft2\0\0\0\0" + head + straight * inputs + values + straight * outputs


def _profile(space: bytes, kind: bytes, connection: bytes, tags: dict[bytes, bytes], name: str) -> bytes:
    text = name.encode() + b"\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": _xyz(*D50),
    } | tags
    body, directory, start = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for tag, data in tags.items():
        directory += struct.pack(">4sII", tag, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, kind, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + _s15(*D50)
    return head.ljust(128, b"\0") + directory + body


def rgb_profile(primaries: str, curve, name: str = "made") -> bytes:
    """Matrix and curves."""
    columns = np.array(PRIMARIES[primaries]).T
    tags = {letter + b"XYZ": _xyz(*column) for letter, column in zip((b"r", b"g", b"b"), columns, strict=True)}
    tags |= {letter + b"TRC": _curve(curve) for letter in (b"r", b"g", b"b")}
    return _profile(b"RGB ", b"mntr", b"XYZ ", tags, name)


def gray_profile(curve, name: str = "made") -> bytes:
    return _profile(b"GRAY", b"mntr", b"XYZ ", {b"kTRC": _curve(curve)}, name)


def lab_of_xyz(xyz: np.ndarray) -> np.ndarray:
    """XYZ under D50 (..., 3) -> CIELAB (..., 3)."""
    t = xyz / np.array(D50)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def _encoded(lab: np.ndarray) -> np.ndarray:
    """CIELAB as a version 2 table of 16 bits holds it: 0xFF00 is L = 100."""
    return np.stack([lab[..., 0] * 652.8, (lab[..., 1] + 128) * 256, (lab[..., 2] + 128) * 256], axis=-1) / 65535


def rgb_table_profile(primaries: str, gamma: float, back: bool) -> bytes:
    """A table from RGB to CIELAB, as scanners have; back: also one the other way."""
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 17)] * 3, indexing="ij"), axis=-1)
    matrix = np.array(PRIMARIES[primaries])
    tags = {b"A2B0": _table(3, 3, _encoded(lab_of_xyz(grid**gamma @ matrix.T)))}
    if back:
        lab = np.stack(np.meshgrid(*[np.linspace(0, 1, 33)] * 3, indexing="ij"), axis=-1)
        lab = lab * 65535 / np.array([652.8, 256, 256]) - np.array([0, 128, 128])
        f = np.stack([(lab[..., 0] + 16) / 116 + lab[..., 1] / 500, (lab[..., 0] + 16) / 116,
                      (lab[..., 0] + 16) / 116 - lab[..., 2] / 200], axis=-1)  # fmt: skip
        xyz = np.where(f > 6 / 29, f**3, (f - 4 / 29) * 3 * (6 / 29) ** 2) * np.array(D50)
        rgb = (xyz @ np.linalg.inv(matrix).T).clip(0, 1) ** (1 / gamma)
        tags[b"B2A0"] = _table(3, 3, rgb)
    return _profile(b"RGB ", b"scnr" if not back else b"prtr", b"Lab ", tags, "table")


def cmyk_profile(gamma: float = 1.8) -> bytes:
    """Inks that take light away: of C, M and Y each one of sRGB's primaries, of K all three."""
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 9)] * 4, indexing="ij"), axis=-1)
    linear = ((1 - grid[..., :3]) * (1 - grid[..., 3:])) ** gamma
    lab = lab_of_xyz(linear @ np.array(PRIMARIES["srgb"]).T)
    return _profile(b"CMYK", b"prtr", b"Lab ", {b"A2B0": _table(4, 3, _encoded(lab))}, "inks")
