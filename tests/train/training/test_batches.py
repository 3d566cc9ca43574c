"""Batches as a function of (seed, step); windows, flips and kept features that belong together; caches."""

from types import SimpleNamespace

import pytest
import torch

from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.network.config import ModelConfig
from chromagan.network.layers import cut
from chromagan.network.trunk import Trunk
from train.training import batches as batches_module
from train.training.batches import DEVICE_SHARE, Batches, fits, mixed, normalized_lab, teacher_targets, trunk_stages
from train.training.options import BatchSpec, TrainConfig
from train.training.step import GeneratorForward

CPU = torch.device("cpu")


def config(**changes):
    defaults = dict(decoder="compact", data=["d"], output_dir="o", crop=64, batch_size=4, dropout=0.0)
    return TrainConfig(**defaults | changes)


def made_images(count=10, size=224):
    return torch.randint(256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def made_set(options, count=10, stages=False, **more):
    images = made_images(count)
    kept = [torch.arange(count * 2.0).view(2 * count, 1, 1, 1).expand(-1, 28, 28, 3)] if stages else None
    return Batches(normalized_lab(images, CPU), options.batch_spec, CPU, torch.eye(count), kept, **more), images


def test_batches_depend_on_seed_and_step_alone():
    batches, _ = made_set(config())
    for step in (0, 1, 5):
        again, _ = made_set(config())
        again(3, slice(0, 4))  # what was drawn before does not matter
        for name in ("L", "ab", "class_target", "mix", "rows", "columns"):
            whole = getattr(batches(step, slice(0, 4)), name)
            assert torch.equal(whole, getattr(again(step, slice(0, 4)), name))
            halves = [getattr(batches(step, part), name) for part in (slice(0, 2), slice(2, 4))]
            assert torch.equal(torch.cat(halves), whole)  # two processes share what one would do
    other, _ = made_set(config(seed=1))
    assert not torch.equal(batches(0, slice(0, 4)).ab, other(0, slice(0, 4)).ab)


def test_an_epoch_meets_every_image_once_in_an_order_of_its_own():
    batches, _ = made_set(config(batch_size=2))
    assert batches.steps_per_epoch == 5
    orders = []
    for epoch in (0, 1):
        seen = torch.cat([batches(5 * epoch + i, slice(0, 2)).class_target.argmax(dim=1) for i in range(5)])
        assert sorted(seen.tolist()) == list(range(10))
        orders.append(seen.tolist())
    assert orders[0] != orders[1]


def test_without_a_critic_there_is_nothing_for_one_and_the_windows_are_the_same():
    images, spec = made_images(), BatchSpec(batch_size=4, crop=64, seed=0)
    with_critic, without = (
        Batches(normalized_lab(images, CPU), each, CPU)(7, slice(0, 4)) for each in (config().batch_spec, spec)
    )
    assert (without.mix, without.corner, without.class_target, without.channels) == (None, None, None, None)
    assert torch.equal(without.L, with_critic.L) and torch.equal(without.ab, with_critic.ab)


def test_mixing_weights_are_uniform_not_normal():
    batches, _ = made_set(config(batch_size=10))
    mix = torch.cat([batches(step, slice(0, 10)).mix.flatten() for step in range(200)])
    assert mix.min() >= 0 and mix.max() <= 1
    assert mix.mean().item() == pytest.approx(0.5, abs=0.03) and mix.std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_windows_flips_and_kept_features_belong_together():
    """Each image's colors are those of its own window, mirrored where the kept features are the mirror image's."""
    batches, images = made_set(config(batch_size=5), stages=True)
    flips, places = 0, set()
    for step in range(8):
        batch = batches(step, slice(0, 5))
        for i in range(5):
            number, flip = divmod(int(batch.stages[0][i, 0, 0, 0]), 2)
            image = images[number].float() / 255
            image = image.flip(-1) if flip else image
            top, left = 8 * int(batch.rows[i, 0]), 8 * int(batch.columns[i, 0])
            lab = color.srgb_to_lab(image[:, top : top + 64, left : left + 64])
            assert batch.L.shape == (5, 1, 64, 64) and batch.rows.shape == batch.columns.shape == (5, 8)
            assert torch.allclose(batch.L[i], color.normalize_L(lab[:1]), atol=5e-4)
            assert torch.allclose(batch.ab[i], color.normalize_ab(lab[1:]), atol=5e-4)
            assert batch.class_target[i].argmax() == number
            flips += flip
            places.add((top, left))
    assert 0 < flips < 40 and len(places) > 20


def test_every_seed_and_step_has_a_stream_of_its_own():
    streams = {mixed(seed, number) for seed in range(10) for number in range(1000)}
    assert len(streams) == 10_000 and 0 <= min(streams) < 2**60 and 2**62 < max(streams) < 2**63


@pytest.mark.parametrize("side, places", [(96, 5), (64, 1)])
def test_windows_are_at_every_place_of_the_grid(side, places):
    """Of 8 pixels: windows of 64 pixels in 96 have 0 to 4 cells before them, along each side."""
    batches = Batches(torch.zeros(4, side, side, 3), config().batch_spec, CPU)
    drawn = [batches(step, slice(0, 4)) for step in range(60)]
    for cells in ([batch.rows for batch in drawn], [batch.columns for batch in drawn]):
        assert set(torch.cat(cells)[:, 0].tolist()) == set(range(places))


def test_a_trunk_whose_features_are_not_kept_sees_the_whole_image_as_it_is_turned():
    seen = []

    def trunk(L):
        seen.append(L)
        return [torch.nn.functional.avg_pool2d(L, 8)]

    options = config(batch_size=3, keep_features=False)
    lab = normalized_lab(made_images(3), CPU)
    batch = Batches(lab, options.batch_spec, CPU, trunk=trunk)(0, slice(0, 3))
    assert seen[0].shape == (3, 1, 224, 224)
    for i in range(3):
        rows, columns = (8 * int(batch.rows[i, 0]), 8 * int(batch.columns[i, 0]))
        assert torch.equal(seen[0][i, :, rows : rows + 64, columns : columns + 64], batch.L[i])
    torch.testing.assert_close(batch.stages[0], torch.nn.functional.avg_pool2d(batch.L, 8))


def test_dropped_channels_are_a_function_of_the_step_and_few():
    batches, _ = made_set(config(dropout=0.25), stages=True)
    drawn = [batches(step, slice(0, 4)).channels for step in range(300)]
    assert drawn[0].shape == (4, 3) and not torch.equal(drawn[0], drawn[1])
    values = torch.stack(drawn)
    assert values.unique().tolist() == pytest.approx([0, 4 / 3])
    assert values.mean().item() == pytest.approx(1, abs=0.05)  # what is seen is as strong as without
    again, _ = made_set(config(dropout=0.25), stages=True)
    halves = [again(7, part).channels for part in (slice(0, 2), slice(2, 4))]
    assert torch.equal(torch.cat(halves), drawn[7])  # two processes drop what one would
    assert made_set(config(dropout=0.0), stages=True)[0](0, slice(0, 4)).channels is None


def test_kept_lab_is_within_half_precision():
    images = made_images(2)
    lab = normalized_lab(images, CPU).movedim(-1, 1).float()
    exact = color.srgb_to_lab(images.float() / 255)
    assert (color.denormalize_L(lab[:, :1]) - exact[:, :1]).abs().max() < 0.025
    assert (color.denormalize_ab(lab[:, 1:]) - exact[:, 1:]).abs().max() < 0.05


def test_a_frozen_trunks_kept_features_give_what_the_trunk_gives():
    torch.manual_seed(0)
    forward = GeneratorForward(ChromaGAN(config().model)).eval()
    L = torch.rand(2, 1, 224, 224) * 2 - 1
    rows, columns = torch.arange(28).expand(2, -1), torch.arange(28).expand(2, -1)
    stages = forward.generator.trunk(L)
    whole, logits = forward(L, None, rows, columns)
    from_stages, same_logits = forward(L, stages, rows, columns)
    assert torch.allclose(logits, same_logits, atol=1e-5) and torch.allclose(from_stages, whole, atol=1e-5)
    seen = torch.ones(2, sum(stage.shape[1] for stage in stages))
    assert torch.equal(forward(L, stages, rows, columns, seen)[0], from_stages)
    unseen = forward(L, [0 * stages[0], *stages[1:]], rows, columns)[0]
    seen[:, : stages[0].shape[1]] = 0
    assert torch.equal(forward(L, stages, rows, columns, seen)[0], unseen)

    # A window is where it says: the fused features there are those of the whole, but for the borders.
    forward.generator.decoder = torch.nn.Identity()
    whole = forward(L, stages, rows, columns)[0]
    rows, columns = torch.arange(4, 18).expand(2, -1), torch.arange(10, 24).expand(2, -1)
    cut_stages = [stages[0][..., 8:36, 20:48], stages[1][..., 4:18, 10:24], *stages[2:]]
    window = forward(L[..., 32:144, 80:192], cut_stages, rows, columns)[0]
    assert torch.allclose(window[..., 3:-3, 3:-3], whole[..., 7:15, 13:21], atol=1e-5)


def test_windows_of_stages_are_cut_where_they_are_fine_and_whole_where_they_are_coarse():
    """As many pixels of a stage for each cell as its stride has; of the mirror image where the photo is mirrored."""
    options, count = config(batch_size=4, crop=64), 6
    stages = []
    for side in (56, 28, 14):
        places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"), dim=-1)
        number = torch.arange(2 * count)[:, None, None, None].expand(-1, side, side, 1)
        stages.append(torch.cat([places.expand(2 * count, -1, -1, -1), number], dim=-1).half())
    batches = Batches(normalized_lab(made_images(count), CPU), options.batch_spec, CPU, torch.eye(count), stages)
    for step in range(4):
        batch = batches(step, slice(0, 4))
        assert [stage.shape[-1] for stage in batch.stages] == [16, 8, 14]
        for i in range(4):
            number = batch.class_target[i].argmax()
            for a_cell, stage in zip((2, 1), batch.stages):
                rows, columns = (
                    torch.arange(a_cell * int(cells[i, 0]), a_cell * (int(cells[i, -1]) + 1))
                    for cells in (batch.rows, batch.columns)
                )
                assert torch.equal(stage[i, 0, :, 0].long(), rows) and torch.equal(stage[i, 1, 0].long(), columns)
                assert (stage[i, 2] // 2 == number).all()
            assert torch.equal(batch.stages[2][i, :2].movedim(0, -1), stages[2][0, ..., :2].float())


def test_cut_reads_windows():
    images = torch.arange(2 * 6 * 5 * 3).view(2, 6, 5, 3)
    windows = cut(images, torch.tensor([1, 0]), torch.tensor([[2, 3], [0, 1]]), torch.tensor([[1, 0], [3, 4]]))
    assert windows.shape == (2, 3, 2, 2)
    assert torch.equal(windows[0], images[1, 2:4, :2].flip(1).movedim(-1, 0))
    assert torch.equal(windows[1], images[0, :2, 3:].movedim(-1, 0))


def test_teacher_and_features_are_kept_until_data_or_network_change(tmp_path, monkeypatch):
    calls = []

    class Teacher(torch.nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor([weight]), requires_grad=False)

        def forward(self, L):
            calls.append(len(L))
            return self.weight.expand(len(L), 4)

    monkeypatch.setattr(batches_module, "build_teacher", lambda name: Teacher(0.25))
    images, options = made_images(3, 32), config(cache_dir=str(tmp_path))
    first = teacher_targets(images, options, CPU)
    assert first.shape == (3, 4) and calls == [3]
    assert torch.equal(teacher_targets(images, options, CPU), first) and calls == [3]  # read, not computed
    changed = images.clone()
    changed[0, 0, 0, 0] ^= 1  # one bit
    teacher_targets(changed, options, CPU)
    assert calls == [3, 3]
    teacher_targets(images, config(cache_dir=str(tmp_path), teacher="another"), CPU)
    assert calls == [3, 3, 3]
    monkeypatch.setattr(batches_module, "build_teacher", lambda name: Teacher(0.75))  # new weights of the same name
    assert (teacher_targets(images, options, CPU) == 0.75).all() and calls == [3, 3, 3, 3]

    generator = SimpleNamespace(trunk=Trunk("tf_efficientnet_lite0", (2, 3)), config=ModelConfig(trunk_stages=(2, 3)))
    stages = trunk_stages(images, generator, str(tmp_path), CPU)
    assert [tuple(stage.shape) for stage in stages] == [(6, 4, 4, 40), (6, 2, 2, 112)]
    assert len(list(tmp_path.glob("*.safetensors"))) == 5
    assert not any(stage.is_inference() for stage in stages)


def test_what_is_kept_of_an_image_is_its_own_in_every_batch_of_images(tmp_path, monkeypatch):
    """Five images, computed four at a time: the teacher's classes, and features with those of the mirror image behind
    them."""
    images = made_images(5, 32)
    L = color.normalize_L(color.srgb_to_L(images.float() / 255))

    class Teacher(torch.nn.Module):
        def forward(self, L):
            return L.flatten(1)[:, :4]

    monkeypatch.setattr(batches_module, "build_teacher", lambda name: Teacher())
    found = teacher_targets(images, config(cache_dir=str(tmp_path)), CPU)
    torch.testing.assert_close(found, L.flatten(1)[:, :4].half(), atol=1e-3, rtol=0)

    trunk = Trunk("tf_efficientnet_lite0", (2, 3)).eval()
    generator = SimpleNamespace(trunk=trunk, config=ModelConfig(trunk_stages=(2, 3)))
    with torch.no_grad():
        expected = trunk(torch.stack([L, L.flip(-1)], dim=1).flatten(0, 1))
    for stage, maps in zip(trunk_stages(images, generator, str(tmp_path), CPU), expected, strict=True):
        torch.testing.assert_close(stage.float(), maps.movedim(1, -1), atol=2e-3 * maps.abs().max().item(), rtol=0)


def test_only_a_gpu_with_room_takes_the_data(monkeypatch):
    free = 8000  # bytes, of a device that has a hundred times as many
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 100 * free))
    room = int(DEVICE_SHARE * free)
    half = torch.zeros(room // 2, dtype=torch.uint8)
    more = torch.zeros(room // 2 + 1, dtype=torch.uint8)
    assert fits([half, half], torch.device("cuda")) and not fits([half, more], torch.device("cuda"))
    assert not fits([torch.zeros(1)], CPU)
