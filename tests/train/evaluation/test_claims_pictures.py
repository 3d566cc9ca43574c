import numpy as np
import torch
from made_photos import made_photo
from PIL import Image

from chromagan.hub.checkpoints import list_checkpoints
from train.evaluation.claims import CLAIMS
from train.evaluation.claims_pictures import draw_claims
from train.evaluation.judging import Verdict
from train.evaluation.networks import checkpoint_entry

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
