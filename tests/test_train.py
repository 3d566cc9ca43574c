"""The training script: its step, its batches, and real launches on made images."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator

from chromagan import color, losses
from chromagan.checkpoints import find_checkpoint, list_checkpoints, load_checkpoint
from chromagan.critic import Critic
from chromagan.decoders import DECODERS
from chromagan.generator import ChromaGAN
from train.config import PRESETS, TrainConfig, parse_config
from train.train import Batches, TrainingError, TrainingForward, fit_batch, train_step, update_average

ROOT = Path(__file__).resolve().parent.parent


def config(**changes):
    return TrainConfig(
        **dict(decoder="compact", data="d", output_dir="o", crop=64, batch_size=4, critic_width=4) | changes
    )


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def networks(options, lr=1e-3):
    torch.manual_seed(0)
    generator = ChromaGAN(options.model)
    torch.manual_seed(1)
    critic = Critic(options.critic_width)
    nets = SimpleNamespace(generator=TrainingForward(generator).train(), critic=critic)
    optimizers = SimpleNamespace(
        generator=torch.optim.Adam(generator.parameters(), lr, betas=(0.5, 0.999)),
        critic=torch.optim.Adam(critic.parameters(), lr, betas=(0.5, 0.999)),
    )
    return nets, optimizers


def made_batch(count=4, size=32):
    torch.manual_seed(2)
    L = torch.nn.functional.interpolate(torch.rand(count, 1, 8, 8), size=size, mode="bilinear") * 2 - 1
    ab = torch.cat([0.3 * L + 0.1, -0.4 * L], dim=1)  # colors that the lightness tells
    return SimpleNamespace(
        L=L, ab=ab, stages=None, window=(slice(0, 4), slice(0, 4)),
        class_target=torch.eye(1000)[[3, 5, 3, 5][:count]], mix=torch.rand(count, 1, 1, 1),
    )  # fmt: skip


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


def test_one_step_moves_every_network(accelerator):
    options = config()
    nets, optimizers = networks(options)
    before = weights(nets.generator), weights(nets.critic)
    terms = train_step(made_batch(), nets, optimizers, options, accelerator, norms=True)
    assert set(terms) == {
        "color", "adversarial", "semantic", "wasserstein", "penalty", "color_grad_norm", "adversarial_grad_norm",
    }  # fmt: skip
    assert all(term.isfinite() and term.ndim == 0 and not term.requires_grad for term in terms.values())
    for old, net in zip(before, (nets.generator, nets.critic), strict=True):
        unmoved = [n for (n, p), o in zip(net.named_parameters(), old, strict=True) if torch.equal(p, o)]
        assert [n for n in unmoved if n != "convs.4.bias"] == []
    assert all(p.requires_grad for p in nets.critic.parameters())


def test_the_adversarial_term_alone_moves_the_generator_toward_higher_scores(accelerator):
    """Fails for a critic called under no_grad or on detached colors, and for one with its sign turned."""
    options = config(color_weight=1e-30, class_weight=0.0, adversarial_weight=1.0)
    nets, optimizers = networks(options, lr=3e-4)
    optimizers.critic = torch.optim.SGD(nets.critic.parameters(), lr=0.0)  # held, so that scores compare
    decoder_before = weights(nets.generator.generator.decoder)
    scores = [-train_step(made_batch(), nets, optimizers, options, accelerator, False)["adversarial"] for _ in range(8)]
    assert not any(torch.equal(a, b) for a, b in zip(decoder_before, weights(nets.generator.generator.decoder)))
    assert scores[-1] > scores[0]


def test_the_critic_learns_to_tell_true_colors_from_the_generators(accelerator):
    options = config()
    nets, optimizers = networks(options)
    optimizers.generator = torch.optim.SGD(nets.generator.parameters(), lr=0.0)
    gaps = [train_step(made_batch(), nets, optimizers, options, accelerator, False)["wasserstein"] for _ in range(12)]
    assert gaps[-1] < gaps[0]


def test_the_two_gradient_norms_are_those_at_ab_pred(accelerator):
    options = config(color_weight=2.0)
    nets, optimizers = networks(options)
    batch = made_batch()
    ab_pred, _ = nets.generator(batch.L, None, batch.window)
    terms = train_step(batch, nets, optimizers, options, accelerator, norms=True)
    _, miss = losses.loss_units(batch.L, ab_pred - batch.ab)
    by_hand = 2.0 * 2 * (miss - 128 / 255).detach() / miss.numel()  # gradient of 2 x mean squared error
    assert terms["color_grad_norm"].item() == pytest.approx(by_hand.norm().item(), rel=1e-4)


def test_one_batch_overfits(accelerator):
    options = config(adversarial_weight=0.01)  # on so small a window the term is some ten times stronger than at 224
    nets, optimizers = networks(options, lr=2e-3)
    batch = made_batch()
    with torch.no_grad():  # a frozen trunk's features: the rest has to learn it
        batch.stages = nets.generator.generator.trunk.eval().stages(batch.L)
    first, *_, last = (train_step(batch, nets, optimizers, options, accelerator, False) for _ in range(200))
    assert last["color"] < 0.1 * first["color"]
    assert last["semantic"] < 0.1 * first["semantic"]


def made_set(options, count=10, stages=False):
    images = torch.randint(256, (count, 3, 224, 224), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    kept = [torch.arange(count * 2.0).view(count, 2, 1, 1, 1).expand(-1, -1, 3, 28, 28)] if stages else None
    return Batches(images, torch.eye(count), kept, options), images


def test_batches_depend_on_seed_and_step_alone():
    batches, _ = made_set(config())
    for step in (0, 1, 5):
        again, _ = made_set(config())
        for name in ("L", "ab", "class_target", "mix"):
            whole = getattr(batches(step, slice(0, 4), torch.device("cpu")), name)
            assert torch.equal(whole, getattr(again(step, slice(0, 4), torch.device("cpu")), name))
            halves = [getattr(batches(step, part, torch.device("cpu")), name) for part in (slice(0, 2), slice(2, 4))]
            assert torch.equal(torch.cat(halves), whole)  # two processes share what one would do
    other, _ = made_set(config(seed=1))
    assert not torch.equal(batches(0, slice(0, 4), "cpu").ab, other(0, slice(0, 4), "cpu").ab)


def test_a_batch_is_at_most_all_images_and_shared_evenly():
    assert fit_batch(config(batch_size=16), images=100, processes=2).batch_size == 16
    assert fit_batch(config(batch_size=16), images=9, processes=2).batch_size == 8
    with pytest.raises(TrainingError, match="--batch-size 15 cannot be shared by 2 processes evenly"):
        fit_batch(config(batch_size=15), images=100, processes=2)
    with pytest.raises(TrainingError, match="1 images cannot be shared by 2 processes"):
        fit_batch(config(batch_size=16), images=1, processes=2)


def test_an_epoch_meets_every_image_once():
    batches, _ = made_set(config(batch_size=2))
    assert batches.steps_per_epoch == 5
    for epoch in (0, 1):
        seen = [batches(5 * epoch + i, slice(0, 2), "cpu").class_target.argmax(dim=1) for i in range(5)]
        assert sorted(torch.cat(seen).tolist()) == list(range(10))


def test_mixing_weights_are_uniform_not_normal():
    batches, _ = made_set(config(batch_size=10))
    mix = torch.cat([batches(step, slice(0, 10), "cpu").mix.flatten() for step in range(200)])
    assert mix.min() >= 0 and mix.max() <= 1
    assert mix.mean().item() == pytest.approx(0.5, abs=0.03) and mix.std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_windows_flips_and_kept_features_belong_together():
    """Colors are those of the window, mirrored where the kept features are those of the mirror image."""
    batches, images = made_set(config(batch_size=2), stages=True)
    flips = 0
    for step in range(8):
        batch = batches(step, slice(0, 2), torch.device("cpu"))
        for i in range(2):
            number, flip = divmod(int(batch.stages[0][i, 0, 0, 0]), 2)
            image = images[number].float() / 255
            image = image.flip(-1) if flip else image
            rows, columns = (slice(8 * w.start, 8 * w.stop) for w in batch.window)
            lab = color.srgb_to_lab(image[:, rows, columns])
            assert torch.allclose(batch.L[i], color.normalize_L(lab[:1])) and batch.L.shape == (2, 1, 64, 64)
            assert torch.allclose(batch.ab[i], color.normalize_ab(lab[1:]))
            assert batch.class_target[i].argmax() == number
            flips += flip
    assert 0 < flips < 16


def test_a_frozen_trunks_kept_features_give_what_the_trunk_gives():
    options = config()
    nets, _ = networks(options)
    forward = nets.generator.eval()
    L = torch.rand(2, 1, 224, 224) * 2 - 1
    window = slice(4, 12), slice(0, 8)
    whole, logits = forward(L, None, window)
    from_stages, same_logits = forward(None, forward.generator.trunk.stages(L), window)
    assert torch.allclose(logits, same_logits, atol=1e-5)
    everything = slice(0, 28), slice(0, 28)
    assert torch.allclose(forward(None, forward.generator.trunk.stages(L), everything)[0], whole, atol=1e-5)
    assert from_stages.shape == (2, 2, 64, 64)


def test_average_of_weights():
    model, average = torch.nn.BatchNorm1d(1), torch.nn.BatchNorm1d(1)
    with torch.no_grad():
        model.weight.fill_(3.0), model.running_mean.fill_(2.0), model.num_batches_tracked.fill_(7)
    update_average(average, model, decay=0.9, step=10_000)
    assert average.weight.item() == pytest.approx(1 + 0.1 * 2)
    assert average.running_mean.item() == pytest.approx(0.2) and average.num_batches_tracked == 7
    update_average(average, model, decay=0.9, step=0)  # a young average follows fast
    assert average.weight.item() == pytest.approx(3 - 0.1 * (3 - 1.2))


REQUIRED = ["--decoder", "compact", "--data", "d", "--output-dir", "o"]


def test_the_paper_preset_is_the_papers_recipe():
    paper = parse_config([*REQUIRED, "--preset", "paper"])
    assert (paper.lr, paper.critic_lr, paper.beta1, paper.batch_size, paper.crop) == (2e-5, 2e-5, 0.5, 10, 224)
    assert (paper.color_weight, paper.adversarial_weight, paper.class_weight, paper.penalty_weight) == (
        1,
        0.1,
        0.003,
        10,
    )
    assert (
        paper.critic_width == 64 and paper.train_trunk and paper.ema_decay == 0 and paper.model.trunk == "vgg16.tv_in1k"
    )
    assert parse_config([*REQUIRED, "--preset", "paper", "--lr", "1e-4"]).lr == 1e-4
    assert parse_config(REQUIRED) == TrainConfig(decoder="compact", data="d", output_dir="o")
    assert set(PRESETS) == {"paper", "lite"}


def test_epochs_to_save():
    assert config(epochs=900).saved_epochs == {0, 300, 600, 900}
    assert config(epochs=2).saved_epochs == {0, 1, 2}
    assert config(epochs=0).saved_epochs == {0}
    assert config(epochs=5, save_epochs=[1]).saved_epochs == {1, 5}


NONSENSE = {
    "decoder": "nearest", "preset": "tiny", "epochs": -1, "save_epochs": [901], "batch_size": 0, "crop": 100,
    "lr": 0.0, "critic_lr": -1.0, "beta1": 1.0, "color_weight": 0.0, "adversarial_weight": -0.1, "class_weight": -1.0,
    "penalty_weight": 0.0, "critic_width": 0, "ema_decay": 1.0, "log_every": 0, "limit_train": -1,
    "limit_validation": -1,
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_is_refused_before_any_work(name, capsys):
    flag = "--" + name.replace("_", "-")
    with pytest.raises(ValueError, match=flag):
        config(**{name: NONSENSE[name]})
    value = NONSENSE[name]
    with pytest.raises(SystemExit) as stop:
        parse_config([*REQUIRED, flag, *map(str, value if isinstance(value, list) else [value])])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert flag in error and len(error.strip().splitlines()) == 1


def test_every_option_is_a_flag_with_help(capsys):
    with pytest.raises(SystemExit):
        parse_config(["--help"])
    shown = capsys.readouterr().out
    for field in dataclasses.fields(TrainConfig):
        assert "--" + field.name.replace("_", "-") in shown
    assert all(name in shown for name in DECODERS)


def launch(*arguments, processes=1, script="train/train.py"):
    """A real `accelerate launch` on the CPU."""
    several = ["--multi_gpu"] if processes > 1 else []  # the launcher's name for "several processes"
    command = [sys.executable, "-m", "accelerate.commands.launch", *several, "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1"}
    command += [script, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def train_flags(image_folder, tmp_path, **changes):
    flags = {
        "decoder": "compact", "data": image_folder, "epochs": 1, "save-epochs": "0", "output-dir": tmp_path / "run",
        "batch-size": 4, "crop": 64, "critic-width": 4, "log-every": 1, "limit-validation": 2,
        "cache-dir": tmp_path / "cache",
    } | {name.replace("_", "-"): value for name, value in changes.items()}  # fmt: skip
    return [part for name, value in flags.items() for part in (f"--{name}", *str(value).split(" "))]


def test_two_steps_for_real_and_what_they_leave(image_folder, tmp_path):
    result = launch(*train_flags(image_folder, tmp_path))
    assert result.returncode == 0, result.stderr[-2000:]
    run = tmp_path / "run"
    assert [(c.decoder, c.epoch) for c in list_checkpoints(run)] == [("compact", 0), ("compact", 1)]
    lines = [json.loads(line) for line in (run / "compact" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert all(
        {"color", "adversarial", "semantic", "penalty", "color_grad_norm", "images_per_second"} <= set(line)
        for line in lines
    )
    assert json.loads((run / "compact" / "train.json").read_text())["crop"] == 64
    measured = list_checkpoints(run)[1].metrics
    assert measured["images"] == 2 and measured["epoch"] == 1 and measured["colored"]["ciede2000_mean"]["value"] > 0
    before, after = (load_checkpoint(checkpoint) for checkpoint in list_checkpoints(run))
    assert before.class_head is None and not torch.equal(before.fusion[0].weight, after.fusion[0].weight)
    assert torch.equal(
        before.trunk.net.state_dict()["model.conv_stem.weight"], after.trunk.net.state_dict()["model.conv_stem.weight"]
    )

    again = launch(*train_flags(image_folder, tmp_path))
    assert again.returncode == 1 and "holds a run already: --resume goes on with it" in again.stderr


def test_resuming_repeats_the_unbroken_run(image_folder, tmp_path):
    whole = launch(*train_flags(image_folder, tmp_path, epochs=2, output_dir=tmp_path / "whole"))
    first = launch(*train_flags(image_folder, tmp_path, epochs=1, output_dir=tmp_path / "parts"))
    second = launch(*train_flags(image_folder, tmp_path, epochs=2, output_dir=tmp_path / "parts"), "--resume")
    assert [whole.returncode, first.returncode, second.returncode] == [0, 0, 0], second.stderr[-2000:]
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "compact" / "log.jsonl").open()]
    assert steps == [1, 2, 3, 4]
    weights = [
        (tmp_path / name / "compact" / "epoch-2" / "model.safetensors").read_bytes() for name in ("whole", "parts")
    ]
    assert weights[0] == weights[1]
    nothing = launch(*train_flags(image_folder, tmp_path, output_dir=tmp_path / "new"), "--resume")
    assert nothing.returncode == 1 and "nothing to resume" in nothing.stderr


def test_two_processes(image_folder, tmp_path):
    result = launch(*train_flags(image_folder, tmp_path, epochs=1, limit_validation=0), processes=2)
    assert result.returncode == 0, result.stderr[-2000:]
    assert find_checkpoint(tmp_path / "run", "compact").epoch == 1
    refused = launch(*train_flags(image_folder, tmp_path, batch_size=3, output_dir=tmp_path / "odd"), processes=2)
    assert refused.returncode == 1 and "--batch-size 3 cannot be shared by 2 processes" in refused.stderr


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"data": "{tmp}/empty"}, "no Parquet files and no images"),
        ({"data": "{tmp}/gray"}, "are gray: there is no color to learn from"),
    ],
)
def test_data_that_cannot_be_used_is_one_line(image_folder, tmp_path, changes, message):
    from conftest import made_photo

    (tmp_path / "empty").mkdir()
    (tmp_path / "gray").mkdir()
    made_photo(0).convert("L").save(tmp_path / "gray" / "a.png")
    changes = {name: str(value).format(tmp=tmp_path) for name, value in changes.items()}
    command = [sys.executable, "train/train.py", *train_flags(image_folder, tmp_path, **changes)]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert message in result.stderr.strip().splitlines()[-1] and "Traceback" not in result.stderr
