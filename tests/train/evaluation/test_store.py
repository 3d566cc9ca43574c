"""Measurements on disk: what happens when some are gone."""

from types import SimpleNamespace

import numpy as np
import pytest

from chromagan.data_sets.splits import DataError
from train.evaluation.store import MeasurementStore


def test_measurements_that_went_meanwhile_are_one_line(tmp_path):
    """A photo changed, so that its shard has another key, or the folder was deleted, or only a part was measured."""
    store, entry = MeasurementStore(tmp_path / "measured", classify=False), SimpleNamespace(digest="00")
    arrays = {name: np.ones((2, max(len(columns), 1))) for name, columns in store.arrays.items()}
    store.folder.mkdir()
    store.write("key", entry, arrays)
    assert len(store.table("key", entry)[0]) == 2
    name, one = next(iter(arrays.items()))
    store.write("part", entry, {name: one})
    for key in ("other", "part"):
        with pytest.raises(DataError, match="measured changed meanwhile: run the same command again"):
            store.table(key, entry)
