"""The settings of a run, all that its figures depend on: saved, loaded, and compared with those of
another run."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from par import __version__
from par.core import files, schema
from par.core.config import (
    NONE,
    DataConfig,
    LoggingConfig,
    ModelConfig,
    SearchConfig,
    TrainingConfig,
    in_steps,
)
from par.core.errors import DataError, SettingError, UsageError
from par.core.setting_group import Group
from par.data import documents, manifest
from par.data.manifest import Manifest
from par.nn.base import Base
from par.nn.parts import Part
from par.objectives import CONTRACTS, DEFAULT, OBJECTIVES
from par.objectives.contract import Contract, Helper
from par.search.architecture import Architecture, network_of
from par.search.latency_table import NO_BASE, Shape

SCHEMA = 2
CHECKPOINTS = ("last", "best")
KEYS = {
    "schema",
    "version",
    "architecture",
    "search_run",
    "objective",
    "recipe",
    "model",
    "search",
    "training",
    "data",
    "total_steps",
}
OPTIONAL = {"init", "base", "objective_settings"}
INIT_LAYERS = ("all", "trunk")  # what a warm start copies
ORIGIN_DEFAULTS = {"blocks": "", "layers": INIT_LAYERS[0]}


@dataclasses.dataclass(frozen=True)
class DataIdentity:
    """The data set of a run: the part of its manifest that must not change."""

    name: str
    vocab_size: int
    batch_size: int
    seq_len: int
    steps_per_epoch: int
    tokenizer_sha256: str
    train_sha256: str  # hash over the hashes of the train files

    @classmethod
    def from_manifest(cls, manifest: Manifest, contract: Contract | None = None) -> DataIdentity:
        """The identity of the data set that a manifest describes, for an objective; None: one that
        reads the stream. An epoch of one that reads documents has a row for each of them.

        Raises: DataError if the objective reads documents, and the data have none.
        """
        train = manifest.splits["train"]
        steps = train.steps
        if contract and contract.reads_documents:
            if manifest.documents is None:
                raise documents.no_documents(f"data set {manifest.name}")
            steps = max(manifest.documents.splits["train"].rows // manifest.batch_size, 1)
        digest = hashlib.sha256("".join(file.sha256 for file in train.files).encode()).hexdigest()
        sizes = (manifest.vocab_size, manifest.batch_size, manifest.seq_len, steps)
        return cls(manifest.name, *sizes, manifest.tokenizer_sha256, digest)


@dataclasses.dataclass(frozen=True)
class Origin:
    """The checkpoint whose weights a warm start copies (par.train.warm_start)."""

    run: str  # its name
    checkpoint: str  # last or best
    step: int
    sha256: str  # hash over the hashes of the checkpoint's files
    # of the source's length where the run's network has another: its blocks take the weights of
    # the source's blocks where these have no i; "": both are of the same length
    blocks: str = ""
    layers: str = INIT_LAYERS[0]

    @property
    def what(self) -> str:
        """What is copied, in words: the weights of a run, or those of its trunk."""
        return f"the weights of {self.run}" + ("'s trunk" if self.layers == "trunk" else "")

    def to_json(self) -> dict[str, Any]:
        """As JSON values; without `blocks` where they are the run's own, and without `layers`
        where they are all."""
        value = dataclasses.asdict(self)
        return {k: v for k, v in value.items() if (k, v) not in ORIGIN_DEFAULTS.items()}


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """All settings that the figures of a run depend on."""

    architecture: Architecture
    model: ModelConfig
    search: SearchConfig
    training: TrainingConfig
    data: DataIdentity
    objective: str = DEFAULT
    recipe: str = "custom"  # a name, without effect on the figures
    init: Origin | None = None  # None: random weights
    objective_settings: Group | None = None  # of the objective; None: its defaults, if it has any
    base: Base | None = None  # what the trunk reads; None: embeddings of the tokens

    def __post_init__(self) -> None:
        if self.objective not in CONTRACTS:
            raise UsageError(
                f"objective must be one of {', '.join(OBJECTIVES)}, but is {self.objective!r}"
            )
        if self.objective_settings is None:
            object.__setattr__(self, "objective_settings", self.contract.default_settings())
        if type(self.objective_settings) is not (self.contract.settings or type(None)):
            raise UsageError(
                f"objective {self.objective} has no settings of type"
                f" {type(self.objective_settings).__name__}"
            )
        self.contract.check(self)
        if self.model.downsample > 1 and self.contract.visibility == "causal":
            raise SettingError(
                f"downsample must be 1 with objective {self.objective}, but is"
                f" {self.model.downsample}: a position that holds several characters would see"
                " those that are to be predicted; leave it out, or choose an objective that sees"
                " both sides, such as masked_lm",
                "downsample",
                "objective",
            )
        if self.base and self.base.stack:
            self._check_base()
        if self.architecture.is_search:
            self._check_durations()
        if self.architecture.is_search and self.search.bilevel and self.data.steps_per_epoch < 2:
            raise UsageError(
                "bilevel needs 2 steps an epoch, one for the weights and one for the logits, but"
                f" there is {self.data.steps_per_epoch}"
            )

    def _check_base(self) -> None:
        stack, shared = self.base.stack, self.contract.shares_table(self.objective_settings)
        if self.contract.visibility == "causal" and stack.visibility != "causal":
            seeing = next(part for part in stack.parts if part.visibility != "causal")
            raise UsageError(
                f"objective {self.objective} predicts the next token, but part {seeing.name} of"
                " the base sees tokens after it: give a base of causal_lm, or an objective that"
                " sees both sides, such as masked_lm"
            )
        if shared or self.model.tie_embeddings:
            raise UsageError(
                f"{shared or 'tie_embeddings'} needs embeddings of the network's own, but it reads"
                f" the states of {stack.text}: leave it out"
            )

    def _check_durations(self) -> None:
        search, total = self.search, self.total_steps
        if self.frozen_steps >= total:
            raise SettingError(
                f"arch_warmup must be below the run's {total} steps, or no logit learns, but is"
                f" {search.arch_warmup}",
                "arch_warmup",
            )
        if self.frozen_steps + in_steps(search.arch_alone, total) > total:
            raise SettingError(
                f"arch_warmup and arch_alone must be at most the run's {total} steps together, but"
                f" are {search.arch_warmup} and {search.arch_alone}",
                "arch_warmup",
                "arch_alone",
            )
        if in_steps(search.arch_alone, total) == total:
            raise SettingError(
                f"arch_alone must be below the run's {total} steps, or no weight learns, but is"
                f" {search.arch_alone}",
                "arch_alone",
            )

    @property
    def contract(self) -> Contract:
        """What the objective says of itself."""
        return CONTRACTS[self.objective]

    @property
    def total_steps(self) -> int:
        """Updates in the whole run."""
        return self.training.epochs * self.data.steps_per_epoch

    @property
    def frozen_steps(self) -> int:
        """Steps at the start of a search that do not update the logits."""
        return in_steps(self.search.arch_warmup, self.total_steps)

    @property
    def warmup_steps(self) -> int:
        """Steps until the weights' learning rate is at its peak."""
        return in_steps(self.training.warmup_steps, self.total_steps)

    @property
    def warning(self) -> str:
        """A warning about settings that are valid but hardly intended; empty if there are none."""
        if (warmup := self.warmup_steps) < self.total_steps:
            return ""
        return (
            f"the warm-up of {warmup:,} steps does not end within the {self.total_steps:,} steps"
            " of training, so that the learning rate never falls: lower --warmup_steps, raise"
            " --epochs, or build the data with a smaller --batch_size"
        )

    @property
    def trained_context(self) -> int:
        """The number of earlier tokens that the last position of a window sees in training,
        M + T - 1; the default memory length for generated text."""
        return self.model.mem_len + self.data.seq_len - 1

    @property
    def places(self) -> str:
        """The blocks by which the weights of a warm start are copied."""
        return (self.init and self.init.blocks) or self.architecture.blocks

    @property
    def helpers(self) -> tuple[Helper, ...]:
        """The networks beside the trunk of the architecture that a training step computes: those
        of the objective, and the parts of the base, once for the trunk and once for each of those
        that reads it, too."""
        own = self._own_helpers
        if not (self.base and self.base.stack):
            return own
        trunk = Helper(self.architecture.blocks, self.model, 0, is_trained=True)
        readers = (trunk, *(each for each in own if each.on_base))
        parts = self.base.stack.parts
        return (*own, *(self._below(part, reader) for reader in readers for part in parts))

    @property
    def _own_helpers(self) -> tuple[Helper, ...]:
        found = self.contract.helpers(self.objective_settings, self.model, self.data.seq_len)
        return tuple(
            each._replace(blocks=each.blocks or self.architecture.blocks) for each in found
        )

    def _below(self, part: Part, reader: Helper) -> Helper:
        """A part of the base, as it is computed for a network that reads it."""
        model = dataclasses.replace(part.model, mem_len=reader.model.mem_len)
        is_trained = reader.is_trained and part.name in self.base.trained
        return Helper(part.blocks, model, 0, is_trained, reader.texts)

    @property
    def network(self) -> str:
        """The network in a word: its blocks; of a composed model, which has none, its parts."""
        return self.architecture.blocks if self.contract.predicts else self.base.stack.text

    @property
    def train_hashes(self) -> set[str]:
        """The hashes of all train splits that its weights were trained on."""
        parts = self.base.stack.parts if self.base else ()
        return {self.data.train_sha256, *(part.train_sha256 for part in parts)}

    @property
    def predicted(self) -> int:
        """For how many tokens of a row of a window the softmax is computed in training."""
        return self.contract.predicted(self.objective_settings, self.data.seq_len)

    @property
    def read_shape(self) -> tuple[ModelConfig, int, int]:
        """The network, rows and tokens a row of what the trunk reads in a training step, for its
        FLOPs; the network with the memory that is read."""
        data, model = self.data, self.model
        shape = (data.batch_size, data.seq_len, model.mem_len)
        rows, seq_len, mem_len = self.contract.read_shape(self.objective_settings, *shape)
        return dataclasses.replace(model, mem_len=mem_len), rows, seq_len

    @property
    def text_shape(self) -> tuple[int, int]:
        """T and M of windows in which a text is read by itself: memory only where an objective
        carries it from window to window."""
        model, _, seq_len = self.read_shape
        return seq_len, model.mem_len if self.contract.carries_memory else 0

    @property
    def read_tokens(self) -> int:
        """The tokens that the trunk reads in a training step, padding included."""
        return self.read_rows * self.read_shape[2]

    @property
    def read_rows(self) -> int:
        """The texts, or rows of windows, that are read in a training step."""
        return self.read_shape[1] * (1 + sum(each.texts for each in self._own_helpers))

    @property
    def canonical(self) -> RunConfig:
        """These settings with the network in its canonical spelling. A warm start keeps the places
        of the blocks: it copies other weights for `diid` than for `ddii`."""
        architecture, init = self.architecture.canonical, self.init
        if init and architecture.blocks != self.places:
            init = dataclasses.replace(init, blocks=self.places)
        return dataclasses.replace(self, architecture=architecture, init=init)

    @property
    def latency_shape(self) -> Shape:
        """The settings that a latency table must have been measured with."""
        model, _, seq_len = self.read_shape
        return Shape(
            model=model,
            vocab_size=self.data.vocab_size,
            batch_size=self.read_rows,
            seq_len=seq_len,
            visibility=self.contract.visibility,
            objective=self.objective,
            base=self.base.networks if self.base and self.base.stack else NO_BASE,
        )

    def with_cutoffs(self, cutoffs: tuple[int, ...]) -> RunConfig:
        """These settings with other cutoffs."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, cutoffs=cutoffs))

    def settled(self, data_dir: Path, manifest: Manifest) -> RunConfig:
        """These settings with what the data, or a run that they name, decide of the objective's.
        Raises: as its `settle`."""
        settings = self.contract.settle(self, data_dir, manifest, load)
        return dataclasses.replace(self, objective_settings=settings)

    def with_seed(self, seed: int) -> RunConfig:
        """These settings with another seed. Raises: UsageError if it is out of its bounds."""
        return dataclasses.replace(self, training=dataclasses.replace(self.training, seed=seed))

    def identity(self) -> dict[str, Any]:
        """The settings that must not change when a run is continued, as `group.name: value`; of
        those that a version added none that leaves everything as it was."""
        return self._flat(lambda group: group.to_identity())

    def _flat(self, values_of: Callable[[Group], dict[str, Any]]) -> dict[str, Any]:
        """The settings as `group.name: value`, of each group those of `values_of`."""
        groups = {
            "model": values_of(self.model),
            "training": values_of(self.training),
            "data": dataclasses.asdict(self.data),
        }
        if self.architecture.is_search:
            groups["search"] = values_of(self.search)
        if self.init:
            groups["init"] = self.init.to_json()
        if self.base:
            groups["base"] = self.base.identity()
        if self.objective_settings:
            groups["objective"] = values_of(self.objective_settings)
        flat = {
            f"{group}.{name}": value
            for group, values in groups.items()
            for name, value in values.items()
        }
        return {"architecture": self.architecture.blocks, "objective": self.objective, **flat}

    @property
    def is_default(self) -> bool:
        """Whether the objective is the one that needs no flag, and so is not named either."""
        return self.objective == DEFAULT

    def default_name(self, all_seeds: bool = False, **settled: str) -> str:
        """The name of the run's directory: data, architecture, recipe, seed, and a short hash of
        the settings. all_seeds: one name for all seeds of these settings.

        settled: model settings that were given as a word, such as cutoffs=auto. The word enters
        the hash, not the numbers that are found for it. Of a warm start, the source's name enters
        it, not its step and hash, so that the run is found again when the source is gone; of a
        base the same.
        """
        identity = self.identity() | {f"model.{name}": word for name, word in settled.items()}
        left_out = ("init.step", "init.sha256", "base.step", "base.sha256", "base.parts.")
        identity = {k: v for k, v in identity.items() if not k.startswith(left_out)}
        if all_seeds:
            identity.pop("training.seed")
        digest = hashlib.sha256(schema.canonical_json(identity).encode()).hexdigest()[:8]
        seed = "seeds" if all_seeds else f"seed{self.training.seed}"
        what = self.architecture.short[:40] + ("" if self.is_default else f"-{self.objective}")
        return f"{self.data.name}-{what}-{self.recipe}-{seed}-{digest}"

    def save(self, run_dir: Path, data_dir: Path) -> None:
        """Writes config.json. The path of the data is relative to the run, so that both can be
        moved together."""
        value = {
            "schema": SCHEMA,
            "version": __version__,
            "architecture": self.architecture.blocks,
            "search_run": self.architecture.search_run,
            "objective": self.objective,
            "recipe": self.recipe,
            "model": self.model.to_json(),
            "search": self.search.to_json(),
            "training": self.training.to_json(),
            "data": {**dataclasses.asdict(self.data), "path": os.path.relpath(data_dir, run_dir)},
            "total_steps": self.total_steps,
        }
        if self.init:
            value["init"] = self.init.to_json()
        if self.base:
            value["base"] = self.base.to_json()
        if self.objective_settings:
            value["objective_settings"] = self.objective_settings.to_json()
        schema.write_json(run_dir / "config.json", value)

    def write_flags(
        self,
        run_dir: Path,
        data_dir: Path,
        logging: LoggingConfig,
        source: Path | None = None,
        base_run: Path | None = None,
    ) -> None:
        """Writes flags.txt: a flagfile that repeats the run from the directory where it was
        started. source: the run of a warm start. base_run: that of the base; None: its name is
        all that is known."""
        lines = [
            f"--data={data_dir}",
            f"--architecture={self.places}",
            f"--run={run_dir}",
        ]
        if self.init:
            lines += [
                f"--init_from={source}",
                f"--init_checkpoint={self.init.checkpoint}",
                f"--init_layers={self.init.layers}",
            ]
        if self.base:
            lines += [
                f"--base={base_run or self.base.run}",
                f"--base_checkpoint={self.base.checkpoint}",
                f"--freeze_base={str(self.base.frozen).lower()}",
                *(f"--unfreeze={name}" for name in self.base.unfreeze),
            ]
        if not self.is_default:
            lines.append(f"--objective={self.objective}")
        groups = (self.objective_settings, self.model, self.search, self.training, logging)
        for group in filter(None, groups):
            for name, value in group.to_json().items():
                items = value if isinstance(value, list) else [value]
                if NONE in group.words(name):
                    items = items or [NONE]  # else a recipe beside this file would bring its own
                lines += [f"--{name}={item}" for item in items]
        files.write_text(run_dir / "flags.txt", "\n".join(lines) + "\n")


def load(run_dir: Path) -> tuple[RunConfig, Path]:
    """The configuration of a run and the directory of its data.

    Raises: DataError if config.json is missing, damaged, or from another schema.
    """
    path = Path(run_dir) / "config.json"
    value = schema.read_json(path, "run configuration")
    try:
        if set(value) - OPTIONAL != KEYS or not schema.is_schema(value, SCHEMA):
            raise UsageError(
                f"it must have schema {SCHEMA} and the keys {', '.join(sorted(KEYS))}, and may"
                f" have {' and '.join(sorted(OPTIONAL))}"
            )
        for name in ("architecture", "search_run", "objective", "recipe", "version"):
            schema.decode(str, value[name], name)
        total_steps, data = schema.decode(int, value["total_steps"], "total_steps"), value["data"]
        if (
            not isinstance(data, dict)
            or not isinstance(data.get("path"), str)
            or "\0" in data["path"]
        ):
            raise UsageError(f"data must have a path, but is {repr(data)[:80]}")
        config = RunConfig(
            Architecture(value["architecture"], search_run=value["search_run"]),
            ModelConfig.from_json(value["model"]),
            SearchConfig.from_json(value["search"]),
            TrainingConfig.from_json(value["training"]),
            _checked_data(
                schema.decode(
                    DataIdentity,
                    {name: item for name, item in data.items() if name != "path"},
                    "data",
                )
            ),
            value["objective"],
            value["recipe"],
            (
                _checked_origin(_decoded_origin(value["init"]), value["architecture"])
                if "init" in value
                else None
            ),
            _decoded_settings(value),
            Base.from_json(value["base"]) if "base" in value else None,
        )
        if not config.contract.predicts and not config.base:
            raise UsageError(f"{config.objective} needs a base")
        schema.check_name(config.recipe, "recipe")
        if total_steps != config.total_steps or not config.architecture.blocks:
            raise UsageError(
                f"total_steps is {total_steps}, but epochs and steps_per_epoch make"
                f" {config.total_steps}; or there is no block"
            )
        config.model.check_vocabulary(config.data.vocab_size)
    except UsageError as error:
        raise DataError(f"run configuration {path} is not valid: {error}") from None
    return config, Path(os.path.normpath(Path(run_dir) / data["path"]))


def load_manifest(run_dir: Path | str, config: RunConfig, data_dir: Path | str) -> Manifest:
    """The manifest of a data set for a run. Raises: DataError if it is missing, damaged, or of
    another tokenizer or vocabulary than the run's."""
    found = manifest.load(data_dir)
    if found.tokenizer_sha256 != config.data.tokenizer_sha256:
        raise DataError(
            f"the data in {data_dir} was made with another tokenizer (SHA-256"
            f" {found.tokenizer_sha256}) than run {run_dir} ({config.data.tokenizer_sha256}):"
            " build it with --tokenizer_model=DATA_OF_THE_RUN/tokenizer.model"
        )
    if found.vocab_size != config.data.vocab_size:
        raise DataError(
            f"the data in {data_dir} has {found.vocab_size} pieces, but {run_dir}/config.json says"
            f" {config.data.vocab_size}: it is damaged"
        )
    return found


def _checked_data(data: DataIdentity) -> DataIdentity:
    """`data`, unchanged. Raises: UsageError for values that tools/build_data.py never writes."""
    for name in ("vocab_size", "batch_size", "seq_len", "steps_per_epoch"):
        most = schema.MAX_INTEGER if name == "steps_per_epoch" else DataConfig.maximum(name)
        if not 1 <= (value := getattr(data, name)) <= most:
            raise UsageError(
                f"{name} must be {'at least 1' if value < 1 else f'at most {most}'}, but is"
                f" {value}"
            )
    schema.check_name(data.name, "name of the data")
    schema.check_sha256(data.tokenizer_sha256, "tokenizer_sha256")
    schema.check_sha256(data.train_sha256, "train_sha256")
    return data


def _decoded_settings(value: dict[str, Any]) -> Group | None:
    """The settings of the objective in config.json. Raises: UsageError if they are missing, or
    not those of the objective."""
    if not (contract := CONTRACTS.get(value["objective"])):
        return None  # RunConfig refuses it
    own = contract.settings
    if (own is None) != ("objective_settings" not in value):
        needed = "no objective_settings" if own is None else "objective_settings"
        raise UsageError(f"objective {value['objective'][:80]!r} has {needed}")
    return own.from_json(value["objective_settings"]) if own else None


def _decoded_origin(value: Any) -> Origin:
    """Inverse of `Origin.to_json`. Raises: UsageError if it is not."""
    named = value if not isinstance(value, dict) else ORIGIN_DEFAULTS | value
    return schema.decode(Origin, named, "init")


def _checked_origin(init: Origin, blocks: str) -> Origin:
    """`init`, unchanged. Raises: UsageError unless it names a checkpoint and its blocks spell the
    network `blocks`."""
    if init.checkpoint not in CHECKPOINTS or init.step < 1:
        raise UsageError(
            f"init must be a {' or '.join(CHECKPOINTS)} checkpoint of step 1 or more, but is"
            f" {init.checkpoint[:80]!r} of step {init.step}"
        )
    if init.layers not in INIT_LAYERS:
        raise UsageError(
            f"init must copy the layers {' or '.join(INIT_LAYERS)}, but has {init.layers[:80]!r}"
        )
    schema.check_sha256(init.sha256, "init: sha256")
    if init.blocks and network_of(init.blocks) != blocks:
        raise UsageError(
            f"init has the blocks {init.blocks[:80]!r}, which are not the network {blocks[:80]}"
        )
    return init


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """The settings that must be equal but differ, each as `name: old -> new`."""
    before, after = (config._flat(lambda group: group.to_json()) for config in (old, new))
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before | after)
        if before.get(key) != after.get(key)
    ]


def in_spelling_of(kept: RunConfig, asked: RunConfig) -> RunConfig:
    """The settings `asked` with the network spelled as in the run `kept`: an earlier version saved
    `diidad` as six blocks, and its checkpoints are read as such. Unchanged if the networks, or the
    places that their weights are copied from, are not the same."""
    if kept.architecture != asked.architecture or (asked.init and kept.places != asked.places):
        return asked
    init = asked.init and dataclasses.replace(
        asked.init, blocks=kept.init.blocks if kept.init else ""
    )
    return dataclasses.replace(asked, architecture=kept.architecture, init=init)


def check_continues(config: RunConfig, run_dir: Path) -> None:
    """Raises: UsageError if a run of an earlier version can't be continued exactly: dropout's
    random numbers counted identities then."""
    blocks, network = config.architecture.blocks, config.architecture.network
    if blocks != network and config.model.dropout_rate:
        raise UsageError(
            f"run {run_dir} of {blocks} was begun by an earlier version, whose dropout counted"
            f" identities, and can't be continued bit for bit: train {network} in another"
            " --run=DIR; evaluate and generate read the run as it is"
        )
