import pytest
import torch

from chromagan import device as device_module
from chromagan.device import fast_dtype, one_core_each, pick_device, torch_threads


def test_unknown_device_is_one_line():
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for device in ("abacus", "cuda:99", None):
        with pytest.raises(ValueError, match=f"device '{device}' is not available"):
            pick_device(device)


@pytest.mark.parametrize("cuda, usable", [(False, "auto or cpu"), (True, "auto or cpu or cuda")])
def test_only_devices_of_this_machine_are_offered(monkeypatch, cuda, usable):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device 'abacus' is not available: use {usable}$"):
        pick_device("abacus")


@pytest.mark.parametrize(
    "amx, avx512, seconds, fast",
    [(True, True, 1.9, True), (False, True, 0.5, True), (False, True, 1.9, False), (False, False, 0.5, False)],
)
def test_bfloat16_is_taken_where_it_is_there_and_faster(monkeypatch, amx, avx512, seconds, fast):
    monkeypatch.setattr(torch.cpu, "_init_amx", lambda: amx)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": avx512})
    monkeypatch.setattr(device_module, "_product_seconds", {torch.float32: 1.0, torch.bfloat16: seconds}.get)
    assert fast_dtype.__wrapped__(torch.device("cpu")) == (torch.bfloat16 if fast else torch.float32)
    assert fast_dtype.__wrapped__(torch.device("mps")) == torch.float32


def test_torchs_threads_are_as_before_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before


def test_each_of_several_has_one_core_and_a_single_one_has_all():
    def threads(_):
        return torch.get_num_threads()

    with torch_threads(3):
        for count, cores, expected in ((1, 1, [3]), (2, 2, [1, 1]), (5, 3, [1] * 5), (0, 1, [])):
            with one_core_each(count) as (found, each):
                assert (found, list(each(threads, range(count)))) == (cores, expected)
            assert torch.get_num_threads() == 3
