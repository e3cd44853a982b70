"""Records on disk: equal content however they are cut into files, read from any step, and refused
when they are not what was built."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from forged_records import forge
from par.core.config import DataConfig
from par.core.errors import DataError
from par.data import records, windows
from synthetic import make_data, word_tokenizer

B, T, V = 3, 7, 53
LENGTHS = {"train": 503, "valid": 101, "test": 43}


def streams() -> dict[str, np.ndarray]:
    """Three token streams."""
    draw = np.random.default_rng(5)
    return {name: draw.integers(8, V, length) for name, length in LENGTHS.items()}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A data set with three files a split; not to be changed."""
    return make_data(
        tmp_path_factory.mktemp("built") / "data",
        *streams().values(),
        vocab_size=V,
        batch_size=B,
        seq_len=T,
        shards=3,
    )


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "data"))


def read(data_dir: Path, split: str, start_step: int = 0) -> np.ndarray:
    """[n, B, T+1] as the reader gives them."""
    windows = list(
        records.dataset(data_dir, records.load(data_dir), split, start_step).as_numpy_iterator()
    )
    return np.stack(windows) if windows else np.zeros([0, B, T + 1], np.int32)


def test_what_is_read_is_what_batching_makes(built):
    for name, tokens in streams().items():
        expected = windows.windows(tokens, B, T, pad_id=None if name == "train" else 0)
        got = read(built, name)
        assert got.dtype == np.int32 and len(got) == records.load(built).splits[name].steps
        np.testing.assert_array_equal(got, expected)


@pytest.mark.quick(2)
@pytest.mark.parametrize("shards", [1, 2, 5, 97])
def test_every_token_but_the_first_is_a_target_exactly_once_for_any_number_of_files(
    tmp_path, shards
):
    numbered = {name: np.arange(8, 8 + length) for name, length in LENGTHS.items()}
    data = make_data(
        tmp_path / "data",
        *numbered.values(),
        vocab_size=8 + max(LENGTHS.values()),
        batch_size=B,
        seq_len=T,
        shards=shards,
    )
    manifest = records.load(data)
    records.verify(data, manifest)
    for name, tokens in numbered.items():
        split, targets = manifest.splits[name], read(data, name)[:, :, 1:]
        assert (
            len(split.files) == min(shards, split.steps)
            and sum(file.steps for file in split.files) == split.steps
        )
        assert (
            sorted(targets[targets != 0].tolist())
            == tokens[1 : len(tokens) - split.dropped].tolist()
        )
        assert (split.tokens, split.dropped == 0) == (
            len(tokens),
            name != "train",
        ) and split.dropped < B * T


def test_the_number_of_files_changes_nothing_but_the_files(built, tmp_path):
    one = make_data(
        tmp_path / "one", *streams().values(), vocab_size=V, batch_size=B, seq_len=T, shards=1
    )
    for name in records.SPLITS:
        np.testing.assert_array_equal(read(built, name), read(one, name))


def test_a_reader_that_starts_later_equals_one_that_skips(built):
    whole = read(built, "train")
    for start in range(len(whole) + 1):
        np.testing.assert_array_equal(read(built, "train", start), whole[start:])
    for beyond in (-1, len(whole) + 1):
        with pytest.raises(DataError, match=f"step {beyond} does not exist"):
            records.dataset(built, records.load(built), "train", beyond)


def test_files_before_the_start_are_not_opened(copy):
    manifest = records.load(copy)
    (copy / manifest.splits["train"].files[0].name).unlink()
    later = manifest.splits["train"].files[0].steps
    assert len(read(copy, "train", later)) == manifest.splits["train"].steps - later


def test_the_reader_knows_its_shape_inside_a_graph(built):
    dataset = records.dataset(built, records.load(built), "train")
    assert dataset.element_spec == tf.TensorSpec([B, T + 1], tf.int32)


def test_the_one_stream_comes_back_without_padding(built):
    manifest = records.load(built)
    for name, tokens in streams().items():
        np.testing.assert_array_equal(
            records.read_stream(built, manifest, name),
            tokens[: len(tokens) - manifest.splits[name].dropped],
        )


def test_counts_are_those_of_the_train_split(built):
    manifest = records.load(built)
    np.testing.assert_array_equal(
        records.read_counts(built, manifest), np.bincount(streams()["train"], minlength=V)
    )


def test_targets_are_all_tokens_but_the_first_and_no_padding(built):
    manifest = records.load(built)
    for name, tokens in streams().items():
        kept = tokens[1 : len(tokens) - manifest.splits[name].dropped]
        np.testing.assert_array_equal(
            records.count_targets(built, manifest, name), np.bincount(kept, minlength=V)
        )


def test_an_example_is_what_tensorflow_serialises(built):
    content = next(
        iter(
            tf.data.TFRecordDataset(str(built / records.load(built).splits["train"].files[0].name))
        )
    ).numpy()
    feature = tf.train.Feature(
        bytes_list=tf.train.BytesList(
            value=[tf.io.serialize_tensor(read(built, "train")[0]).numpy()]
        )
    )
    assert content == tf.train.Example(
        features=tf.train.Features(feature={"tokens": feature})
    ).SerializeToString(deterministic=True)


def test_the_manifest_says_what_it_was_made_of_and_nothing_of_this_machine(built):
    manifest, text = records.load(built), (built / "manifest.json").read_text()
    assert (
        manifest.name,
        manifest.batch_size,
        manifest.seq_len,
        manifest.vocab_size,
        manifest.lowercase,
    ) == ("synthetic", B, T, V, False)
    assert manifest.tokenizer_sha256 == word_tokenizer(V).sha256
    assert {name: (split.words, split.tokens) for name, split in manifest.splits.items()} == {
        name: (n, n) for name, n in LENGTHS.items()
    }
    assert str(built.parent) not in text and DataConfig.from_json(manifest.settings).shards == 3


def test_a_moved_data_set_is_as_good(built, copy):
    records.verify(copy, records.load(copy))
    np.testing.assert_array_equal(read(copy, "valid"), read(built, "valid"))


def test_two_data_sets_of_the_same_tokens_are_byte_identical(built, tmp_path):
    again = make_data(
        tmp_path / "again", *streams().values(), vocab_size=V, batch_size=B, seq_len=T, shards=3
    )
    names = sorted(path.relative_to(built) for path in built.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file())
    assert all((built / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_the_unigram_model_is_add_one_counts():
    counts = np.array([0, 3, 5])
    assert records.unigram_nll(counts, np.array([1, 0, 2])) == pytest.approx(
        -(2 * np.log(6 / 11) + np.log(1 / 11))
    )


# ---- writing refuses ----


def test_too_few_tokens_are_refused_with_what_is_there_and_what_is_needed(tmp_path):
    tokens = streams()
    with pytest.raises(
        DataError,
        match=(
            r"train 21, valid 101, test 43; train needs batch_size \* seq_len \+ 1 = 22, valid and"
            r" test 2"
        ),
    ):
        make_data(tmp_path / "a", tokens["train"][:21], tokens["valid"], tokens["test"], V, B, T)
    with pytest.raises(DataError, match="train 22, valid 1, test 43"):
        make_data(
            tmp_path / "a", tokens["train"][:22], tokens["valid"][:1], tokens["test"], V, B, T
        )
    assert not (tmp_path / "a").exists()
    records.verify(
        data := make_data(
            tmp_path / "a", tokens["train"][:22], tokens["valid"][:2], tokens["test"], V, B, T
        ),
        records.load(data),
    )


@pytest.mark.parametrize("token", [-1, V])
def test_a_token_outside_the_vocabulary_is_not_written(tmp_path, token):
    tokens = streams()
    tokens["valid"][7] = token
    with pytest.raises(
        DataError, match=f"valid holds token id {token}, outside the vocabulary of {V}"
    ):
        make_data(tmp_path / "a", *tokens.values(), V, B, T)


# ---- verify refuses ----


def refused(data: Path, message: str) -> None:
    with pytest.raises(DataError, match=message):
        records.verify(data, records.load(data))


SECOND = "train/part-00001-of-00003.tfrecord"


def test_a_flipped_byte_is_found_with_its_record_and_both_hashes(copy):
    path, expected = copy / SECOND, records.load(copy).splits["train"].files[1]
    content = bytearray(path.read_bytes())
    record = expected.size // expected.steps
    content[2 * record + record // 2] ^= 4
    path.write_bytes(content)
    place = f"damaged in the record at byte {2 * record}"
    refused(
        copy,
        f"00001-of-00003.tfrecord is not the file that was built: {place}: SHA-256 [0-9a-f]{{64}},"
        f" but the manifest says {expected.sha256}",
    )


@pytest.mark.parametrize("cut", ["empty", "inside a record", "between records"])
def test_a_truncated_file_is_found_with_its_offset(copy, cut):
    path, expected = copy / SECOND, records.load(copy).splits["train"].files[1]
    end = {"empty": 0, "inside a record": 31, "between records": expected.size // expected.steps}[
        cut
    ]
    path.write_bytes(path.read_bytes()[:end])
    refused(
        copy,
        f"part-00001-of-00003.tfrecord ends at byte {end}: it has {end} bytes, but the manifest"
        f" says {expected.size}",
    )


def test_a_longer_file_is_found(copy):
    with open(copy / SECOND, "ab") as file:
        file.write(b"x")
    refused(copy, "part-00001-of-00003.tfrecord continues at byte")


def test_a_missing_and_an_extra_file_are_found(copy):
    shutil.copy(copy / SECOND, copy / "train" / "part-00003-of-00004.tfrecord")
    refused(copy, r"part-00003-of-00004.tfrecord is not in the manifest")
    (copy / "train" / "part-00003-of-00004.tfrecord").unlink()
    (copy / SECOND).unlink()
    refused(copy, r"part-00001-of-00003.tfrecord is missing")


def test_files_that_changed_places_are_found(copy):
    a, b = copy / "train/part-00000-of-00003.tfrecord", copy / SECOND
    a.rename(copy / "a")
    b.rename(a)
    (copy / "a").rename(b)
    refused(
        copy,
        "part-00000-of-00003.tfrecord is not the file that was built: its records are whole but"
        " others",
    )


def test_only_the_splits_asked_for_are_checked(copy):
    (copy / SECOND).unlink()
    records.verify(copy, records.load(copy), splits=("valid", "test"))
    with pytest.raises(DataError):
        records.verify(copy, records.load(copy), splits=("train",))


@pytest.mark.parametrize("name", ["tokenizer.model", "counts.txt"])
def test_a_changed_or_missing_tokenizer_or_counts_file_is_found_with_both_hashes(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + b"!")
    refused(
        copy,
        rf"{name} is not the file that was built: SHA-256 [0-9a-f]{{64}}, but the manifest says"
        r" [0-9a-f]{64}",
    )
    (copy / name).write_bytes(content[:9])
    refused(copy, f"{name} is not the file that was built")
    (copy / name).unlink()
    refused(copy, f"{name} is missing")


@pytest.mark.parametrize(
    ("window", "times", "message"),
    [
        (
            np.full([B, T + 1], V, np.int32),
            1,
            f"holds token id {V}, outside the vocabulary of {V}",
        ),
        (np.full([B, T + 1], -3, np.int32), 1, "holds token id -3, outside"),
        (np.full([B, T + 1], 8, np.int32), 2, "holds 46 steps, but the manifest says 23"),
        (
            np.full([B, T + 2], 8, np.int32),
            1,
            f"holds something else than windows of {B} x {T + 1} tokens",
        ),
        (
            np.full([B, T + 1], 8, np.int64),
            1,
            f"holds something else than windows of {B} x {T + 1} tokens",
        ),
    ],
)
def test_records_of_another_writer_are_refused_even_if_their_hash_is_right(
    tmp_path, window, times, message
):
    data = make_data(tmp_path / "data", *streams().values(), vocab_size=V, batch_size=B, seq_len=T)
    forge(data, window, times)
    refused(data, message)


def claim(data: Path, **figures: object) -> None:
    """Changes figures of the manifest."""
    manifest = json.loads((data / "manifest.json").read_text())
    (data / "manifest.json").write_text(json.dumps(manifest | figures))


def test_a_vocabulary_or_counts_that_do_not_fit_the_tokenizer_are_refused(copy):
    claim(copy, vocab_size=V - 1)
    refused(copy, f"tokenizer.model has {V} pieces, but the manifest says {V - 1}")
    claim(copy, vocab_size=V)
    lines = (copy / "counts.txt").read_text().splitlines()
    short, odd = "\n".join(lines[:-1]), "\n".join([*lines[:-1], "x"])
    for content, message in (
        (short, "holds 52"),
        (odd, "one count per line"),
        ("9\n" * V, "counts 477 tokens"),
    ):
        (copy / "counts.txt").write_text(content)
        claim(copy, counts_sha256=hashlib.sha256(content.encode()).hexdigest())
        refused(copy, message)
