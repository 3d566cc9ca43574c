"""What a script takes from its launcher: a share of the cores, and none of the settings that would change its steps."""

import os
from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DynamoBackend

from train.training import cores
from train.training.watching import TrainingError


def launched(steps=1, backend=DynamoBackend.NO, processes=1):
    return SimpleNamespace(
        gradient_accumulation_steps=steps, state=SimpleNamespace(dynamo_plugin=SimpleNamespace(backend=backend)),
        num_processes=processes, device=torch.device("cpu"),
    )  # fmt: skip


def test_settings_that_change_the_steps_are_refused():
    cores.check_launcher(launched())
    with pytest.raises(TrainingError, match="accumulate gradients over 4 steps"):
        cores.check_launcher(launched(steps=4))
    with pytest.raises(TrainingError, match="compile with dynamo: set it to no"):
        cores.check_launcher(launched(backend=DynamoBackend.INDUCTOR))


def test_cores_are_shared_by_the_processes_of_this_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    assert cores.share_cores(launched(processes=16)) == 4
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")  # of two machines
    assert cores.share_cores(launched(processes=16)) == 8
    assert cores.share_cores(launched(processes=640)) == 8


def set_environment(monkeypatch, **given):
    for name in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "given, missing",
    [
        (dict(LOCAL_RANK="0"), "RANK, WORLD_SIZE, MASTER_ADDR"),
        (dict(RANK="0", WORLD_SIZE="2"), "MASTER_ADDR"),
        (dict(LOCAL_RANK="0", RANK="0", WORLD_SIZE="1"), "MASTER_ADDR"),
    ],
)
def test_what_another_launcher_left_in_the_environment_is_one_line(monkeypatch, given, missing):
    set_environment(monkeypatch, **given)
    with pytest.raises(TrainingError, match=f"is in the environment, but not {missing}: unset LOCAL_RANK, RANK and"):
        cores.check_environment()


@pytest.mark.parametrize(
    "given",
    [
        dict(),
        dict(RANK="0", WORLD_SIZE="1"),
        dict(LOCAL_RANK="1", RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1"),
        dict(RANK="1", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1"),
    ],
)
def test_what_a_launcher_sets_is_taken(monkeypatch, given):
    set_environment(monkeypatch, **given)
    cores.check_environment()
