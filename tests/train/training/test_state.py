"""States: whole or not at all, two kept, damage found."""

import pytest
import torch

from train.training.state import load_state, save_state


def test_the_newest_state_comes_back_and_two_are_kept(tmp_path):
    warnings = []
    assert load_state(tmp_path, warnings.append) is None
    for step in (3, 10, 20):
        save_state(tmp_path, step, {"weights": torch.full((4,), float(step)), "data": "x"})
    assert len(list(tmp_path.iterdir())) == 2
    state = load_state(tmp_path, warnings.append)
    assert state["step"] == 20 and torch.equal(state["weights"], torch.full((4,), 20.0)) and not warnings


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_state_is_named_and_the_one_before_it_used(tmp_path, damage):
    for step in (5, 12):
        save_state(tmp_path, step, {"weights": torch.arange(1000.0) + step})
    (newest,) = tmp_path.glob("state-12-*")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # one bit of a weight: it would load without complaint
    newest.write_bytes({"flip": bytes(content), "cut": content[: len(content) // 2], "empty": b""}[damage])
    warnings = []
    assert load_state(tmp_path, warnings.append)["step"] == 5
    assert len(warnings) == 1 and newest.name in warnings[0] and "damaged" in warnings[0]
    save_state(tmp_path, 8, {})
    assert {path.name[:8] for path in tmp_path.glob("*.pt")} == {"state-5-", "state-8-"}


def test_a_half_written_state_is_not_a_state_and_goes(tmp_path):
    (tmp_path / ".state-9-0123456789abcdef.part").write_bytes(b"half")
    assert load_state(tmp_path, pytest.fail) is None
    save_state(tmp_path, 10, {})
    assert [path.name[:9] for path in tmp_path.iterdir()] == ["state-10-"]


def test_two_damaged_states_are_none(tmp_path):
    warnings = []
    for step in (1, 2):
        save_state(tmp_path, step, {"w": torch.ones(3)})
    for path in tmp_path.iterdir():
        path.write_bytes(b"")
    assert load_state(tmp_path, warnings.append) is None and len(warnings) == 2
    save_state(tmp_path, 1, {"w": torch.zeros(3)})  # of a lower step than the damaged ones, which are no longer states
    assert load_state(tmp_path, pytest.fail)["step"] == 1
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".damaged", ".damaged", ".pt"]


def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    save_state(tmp_path, 1, {"w": torch.ones(3)})
    before = sorted(tmp_path.iterdir())

    def full(state, file):
        file.write(b"some of it")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 128 vs 42")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="state of step 2 cannot be written .*is the disk full"):
        save_state(tmp_path, 2, {"w": torch.ones(3)})
    assert sorted(tmp_path.iterdir()) == before
