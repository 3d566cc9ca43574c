"""What all decoders share learns first, once for all of them: colors at an eighth of the size, with no decoder.

Behind a frozen trunk, what color a thing has is learned by the mid-level and global branches and the fusion, and a
step on them alone is several times cheaper than one through a decoder and the critic. A 1x1 convolution stands in the
decoder's place here and is thrown away. The result is kept on disk, so that the five runs of a study begin with the
same weights in everything but the decoder.
"""

import copy
import math
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from chromagan.hub.model import ChromaGAN
from chromagan.network import losses
from chromagan.network.decoders import FEATURE_CHANNELS, FEATURE_STRIDE
from chromagan.network.folding import fold_batch_norm
from chromagan.network.trunk import Teacher, Trunk
from train.training.batches import Batches, autocast, frozen_trunk
from train.training.cache import cached
from train.training.options import TrainConfig
from train.training.step import adam, consistency, window_features

CROP = 128  # pixels: windows of 16x16 cells, of which most do not see the zeros around the window
OWN = ("trunk.", "decoder.")  # what is not pretrained here: it has its own weights already, or is not shared


def pretrained(
    generator: ChromaGAN, images: Tensor, batches: Batches, config: TrainConfig, device: torch.device,
    teacher: Teacher | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """The weights that `generator` should begin with, in all but trunk and decoder, computed once and kept.

    images: uint8 sRGB (N, 3, S, S), the data that `batches` draws from: they tell the file. `generator` itself is left
    as it is. teacher: who judges the colored photos, where config.consistency_weight is not 0.
    """
    maker = (
        f"{replace(config.model, decoder='original')} {config.pretrain_epochs} epochs seed {config.seed} {CROP} "
        f"batch {config.batch_size} lr {config.lr} beta1 {config.beta1} pivot {config.color_pivot} "
        f"weights {config.color_weight} {config.class_weight} {config.teacher} "
        f"consistency {config.consistency_weight} {config.consistency_every} {config.precision}"
    )
    network = copy.deepcopy(generator).to(device)
    return cached(
        Path(config.cache_dir), "pretrained", images, maker,
        lambda _: _pretrain(network, batches, config, device, teacher),
    )  # fmt: skip


def _pretrain(
    network: ChromaGAN, batches: Batches, config: TrainConfig, device: torch.device, teacher: Teacher | None
) -> dict[str, Tensor]:
    batches = batches.of_windows(CROP)
    if teacher is not None:
        teacher = fold_batch_norm(teacher).to(device, memory_format=torch.channels_last)
    if batches.stages is None and batches.trunk is None:  # the trunk trains in the run: here it stays as it is
        batches.trunk = frozen_trunk(network.trunk, device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        head = nn.Sequential(nn.Conv2d(FEATURE_CHANNELS, 2, kernel_size=1), nn.Tanh()).to(device)
    network.decoder = head
    network.trunk.requires_grad_(False)
    network.to(memory_format=torch.channels_last).train()
    optimizer = adam([{"params": [p for p in network.parameters() if p.requires_grad]}], config.lr, config)
    steps = config.pretrain_epochs * batches.steps_per_epoch
    everything = slice(0, config.batch_size)
    with tqdm(total=steps * config.batch_size, desc="shared layers", unit=" images", leave=False) as bar:
        for step in range(steps):
            batch = batches(step, everything)
            # L_c joins in the second half: from the beginning on, it would hold back the learning of colors.
            judged = batch.whole is not None and 2 * step >= steps
            with autocast(device, config.precision):
                merged, flat = window_features(network, batch.stages, batch.rows, batch.columns)
                ab_pred, class_logits = network.color(merged, flat), network.class_head(flat)
                if judged:
                    some = slice(None, None, config.consistency_every)
                    small = network.color(Trunk.merge([stage[some] for stage in batch.stages]), flat[some])
            _, ab_pred = losses.loss_units(batch.L, ab_pred.float())
            _, ab = losses.loss_units(batch.L, F.avg_pool2d(batch.ab, FEATURE_STRIDE))
            loss = config.color_weight * losses.color_loss(ab_pred, ab, config.color_pivot)
            loss = loss + config.class_weight * losses.class_loss(class_logits.float(), batch.class_target)
            if judged:
                whole_L, small = losses.loss_units(batch.whole.L, small.float())
                ab_whole = F.interpolate(small, scale_factor=FEATURE_STRIDE, mode="bilinear")
                judgment = consistency(whole_L, ab_whole, batch.whole.target, teacher, config)
                loss = loss + config.consistency_weight * judgment
            optimizer.param_groups[0]["lr"] = config.lr * (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update(config.batch_size)
    return {name: value.cpu().contiguous() for name, value in network.state_dict().items() if not name.startswith(OWN)}
