"""A network's score with a SuperNet's weights is that of the network made of them."""

from __future__ import annotations

import numpy as np
import pytest

from par.data import manifest
from par.evaluate import evaluation, inherited
from par.search import networks
from par.train import weight_transfer
from par.train.learner import Learner
from small import small_config, small_data


@pytest.mark.quick(1)
@pytest.mark.parametrize("blocks", ["sss", "sds"])
def test_every_network_scores_what_the_derived_one_does(tmp_path, blocks):
    data_dir = small_data(tmp_path / "copies", train=300, valid=100)
    supernet, about = Learner(small_config(data_dir, blocks)), manifest.load(data_dir)
    draw = np.random.default_rng(3)
    for variable in supernet.weights:
        variable.assign_add(draw.normal(0.0, 0.3, variable.shape))
    before = draw.normal(0.0, 1.0, supernet.logits[0].shape).astype(np.float32)
    before[0] = [-np.inf, 1.0, 0.5]  # pruned
    supernet.logits[0].assign(before)
    asked = ["ad", "add", "d"] if blocks == "sds" else ["i", "a", "dd", "ada"]
    told = []
    found = inherited.nll(supernet, data_dir, about, "valid", asked, told.append)
    np.testing.assert_array_equal(supernet.logits[0], before)
    assert told == asked and len(np.unique(found)) == len(asked)
    rows = networks.log_rows(np.maximum(supernet.pi, inherited.LEAST), blocks)
    for network, nll in zip(asked, found):
        own = weight_transfer.derive_network(supernet, networks.spelling(rows, network))
        scores = evaluation.score(own, data_dir, about, "valid", "fixed")
        assert nll == pytest.approx(scores["nll_per_token"], rel=1e-5)


def test_a_network_that_fixed_blocks_forbid_is_refused(tmp_path):
    data_dir = small_data(tmp_path / "copies", train=300, valid=100)
    supernet = Learner(small_config(data_dir, "sd"))
    with pytest.raises(ValueError, match="no string of 2 blocks spells 'aa'"):
        inherited.nll(supernet, data_dir, manifest.load(data_dir), "valid", ["aa"])
