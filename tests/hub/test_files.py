"""JSON in the files of checkpoints, and the names of data sets in them."""

from pathlib import Path

import pytest

from chromagan.hub.files import plain_name, read_json, write_json


def test_json_is_written_and_read(tmp_path):
    write_json(tmp_path / "metrics.json", {"data": "Café"})
    assert read_json(tmp_path / "metrics.json") == {"data": "Café"}


def test_json_never_holds_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "metrics.json", {"psnr": float("nan")})
    assert not (tmp_path / "metrics.json").exists()


@pytest.mark.parametrize(
    "content, reason", [(b"{", "is not JSON"), (b"\xff", "is not JSON"), (b"[1]", "hold a JSON object, not a list")]
)
def test_json_that_is_damaged_is_named(tmp_path, content, reason):
    (tmp_path / "metrics.json").write_bytes(content)
    with pytest.raises(ValueError, match=f"metrics.json .*{reason}"):
        read_json(tmp_path / "metrics.json")


def test_of_a_folder_of_data_others_read_the_last_part(tmp_path):
    assert plain_name(str(tmp_path / "birds")) == plain_name("~/photos/birds") == plain_name("./birds") == "birds"
    assert plain_name(str(tmp_path / "birds" / "..")) == tmp_path.name and plain_name("./.") == Path.cwd().name
    assert plain_name("/") == "photos"
    assert plain_name("shared/birds") == "shared/birds"  # it may be a Hub id
