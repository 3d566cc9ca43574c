import numpy as np
import torch
from made_photos import made_photo
from PIL import Image

from chromagan.hub.checkpoints import list_checkpoints
from chromagan.imaging import color
from train.evaluation.claims import CLAIMS
from train.evaluation.claims_pictures import draw_claims, place_of
from train.evaluation.judging import Verdict
from train.evaluation.networks import checkpoint_entry
from train.evaluation.pixel_measures import PIXEL_PARTS, Truth
from train.evaluation.titles import MEASURES

CPU = torch.device("cpu")
CLAIM = {claim.id: claim for claim in CLAIMS}


def test_a_claim_gets_a_row_for_each_photo_and_old_pictures_go(source, tmp_path):
    photos = [torch.from_numpy(np.array(made_photo(seed))).movedim(-1, 0) for seed in range(3)]
    entries = [checkpoint_entry(checkpoint) for checkpoint in list_checkpoints(source)]
    (tmp_path / "claim-X9.png").write_bytes(b"")
    verdicts = [
        Verdict(CLAIM["C1"], "stands", (), 3, 40, shows=2, contradicts=0, pictured="weak_to_gray"),
        Verdict(CLAIM["C2"], "contradicted", (), 3, 40, contradicts=1, pictured="light_b"),
        Verdict(CLAIM["C5"], "stands", ()),  # of costs: no photo
        Verdict(CLAIM["T2"], "stands", (), 3, 40, shows=1, pictured="false_red"),  # a decoder that is not there
        Verdict(CLAIM["D3"], "cannot be told", (), instead=Verdict(CLAIM["D3"], "stands", (), 0, 40, 1, None, "spots")),
    ]
    files = draw_claims(photos, verdicts, entries, tmp_path, CPU)
    assert files == {name: f"claim-{name}.png" for name in ("C1", "C2", "D3")}
    assert {path.name for path in tmp_path.iterdir()} == set(files.values())
    two, one = (Image.open(tmp_path / files[name]) for name in ("C1", "C2"))
    assert two.height - one.height > 64 and two.width >= 3 * 64
    truth = np.array(made_photo(2))
    sheet = np.array(two)
    windows = np.lib.stride_tricks.sliding_window_view(sheet, truth.shape)[:, :, 0]
    assert any((windows[y, x] == truth).all() for y in range(20, 40) for x in range(windows.shape[1]))  # at the top


def picture(lab):
    pixels = (255 * color.lab_to_srgb(lab[None])).round().clamp(0, 255).to(torch.uint8)[0]
    return pixels, pixels.movedim(0, -1).numpy()


def test_places_are_where_the_measure_found_something():
    lab = torch.tensor([60.0, 0, 20])[:, None, None].repeat(1, 80, 80)
    truth = Truth(picture(lab)[0], CPU)
    lab[1, 10:30, 10:30], lab[1, 60:65, 60:65] = 50, 40
    coloring = picture(lab)[1]
    red = place_of("false_red", truth, coloring)
    assert red[12:28, 12:28].all() and red.sum() == 400
    spot = place_of("spots", truth, coloring)
    assert spot[60:65, 60:65].all() and 25 < spot.sum() < 200  # with a margin
    worst = place_of("ciede2000", truth, coloring)
    assert worst.any() and not worst[40:55].any()
    assert place_of("border_stripes", truth, coloring).sum() == 80 * 80 - 72 * 72
    assert place_of("colorfulness", truth, coloring).all()


def test_every_measure_has_a_place():
    photo = torch.from_numpy(np.array(made_photo(0))).movedim(-1, 0)
    truth, coloring = Truth(photo, CPU), np.array(made_photo(0))[::-1].copy()
    columns = {column for part in PIXEL_PARTS.values() for column in part.columns} & set(MEASURES)
    for measure in columns:
        place = place_of(measure, truth, coloring)
        assert place.shape == (64, 64) and place.dtype == bool
