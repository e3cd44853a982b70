"""The training step and the evaluation step of an objective, with the memories that they carry;
each runs on all replicas."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from par.core.config import in_steps
from par.nn import supernet
from par.nn.composition import Composition
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import MAIN, Below, Memories, Table, Transformer
from par.search import bilevel, gumbel, latency_penalty
from par.search.architecture import Architecture
from par.train import optimization
from par.train.distributed.replicas import Replicas, own_variable
from par.train.run_config import RunConfig

ROW_AXES = Memories(hidden=1, valid=0)  # which axis of the memories counts the batch's rows

MOST_WINDOWS = 1 << 32  # a row has fewer


class Learner:
    """The network of a run with its two optimizers: one for the weights, one for the architecture
    logits."""

    def __init__(self, config: RunConfig, replicas: Replicas | None = None):
        self.config, self.replicas = config, replicas or Replicas()
        training, search = config.training, config.search
        self._turns = bilevel.Turns.of(search, config.data.steps_per_epoch, config.total_steps)
        with self.replicas.strategy.scope():
            self.objective = config.contract.network_class()(
                config.model, config.data.vocab_size, training.seed, config.objective_settings
            )
            self._searched: list[Transformer] = []
            self.base = config.base and Composition(
                config.base.stack, config.data.vocab_size, training.seed, config.base.trained
            )
            self.objective.build(self._make_trunk)
            self.logits = [v for trunk in self._searched for v in trunk.logits]
            self.weights = [
                v
                for layer in self.layers.values()
                for v in layer.trainable_variables
                if all(v is not a for a in self.logits)
            ]
            self._latency_penalty = latency_penalty.search_penalty(
                config.architecture.blocks, search
            )
            self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
            # Rates follow the run's step: an optimizer's own count leaves out the steps in which
            # it is not called.
            self.weight_optimizer = _optimizer(
                "weights",
                training.optimizer,
                lambda: training.max_lr * self._shares(self.step)[0],
                training.weight_decay,
                self.weights,
            )
            self.logits_optimizer = _optimizer(
                "logits",
                "adamw",
                lambda: search.arch_lr * self._shares(self.step)[1],
                search.arch_weight_decay,
                self.logits,
            )
            pruning = self.logits and search.prune_below
            # see supernet.prune
            self._below = [
                tf.Variable(tf.zeros(alpha.shape, tf.int32), trainable=False)
                for alpha in (self.logits if pruning else ())
            ]
            self._memories = Memories(
                *map(
                    own_variable,
                    self.objective.trunk.empty_memories(
                        self.replicas.rows_each(config.data.batch_size)
                    ),
                )
            )
        self._kept_memories = Memories(
            *(
                tf.Variable(v, trainable=False)
                for v in self.objective.trunk.empty_memories(config.data.batch_size)
            )
        )
        self._evaluation_graphs: dict[tuple, Any] = {}

    def _make_trunk(
        self,
        part: str = MAIN,
        blocks: str | None = None,
        table: Table | None = None,
        on_base: bool = True,
        **changes: Any,
    ) -> Transformer:
        """A trunk of the network; see par.objectives. A searched one's logits are the search's."""
        config, below = self.config, None
        if self.base and on_base:
            below = Below(self.base.width, lambda: self.base)
        trunk = Transformer(
            config.architecture if blocks is None else Architecture(blocks),
            dataclasses.replace(config.model, **changes),
            config.search,
            config.data.vocab_size,
            config.training.seed,
            config.training.gradient_checkpointing,
            part,
            table,
            below,
        )
        if trunk.logits:
            # that of the run's architecture first
            self._searched.insert(0 if part == MAIN else len(self._searched), trunk)
        return trunk

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints: those of the objective, and the base."""
        return self.objective.layers | ({"base": self.base} if self.base else {})

    @property
    def exported_layers(self) -> dict[str, keras.layers.Layer]:
        """Those that an export needs."""
        of_objective = getattr(self.objective, "exported_layers", self.objective.layers)
        return of_objective | ({"base": self.base} if self.base else {})

    @property
    def state(self) -> dict[str, Any]:
        """Everything that a checkpoint must hold, by name; each optimizer by itself.

        `keep_memories` comes before a save, `take_memories` after a restore.
        """
        kept = self._kept_memories
        own = {
            "weight_optimizer": self.weight_optimizer,
            "step": self.step,
            "memory": kept.hidden,
            "memory_valid": kept.valid,
        }
        own |= {"logits_optimizer": self.logits_optimizer} if self.logits else {}
        names = ("below", *(f"below_{number}" for number in range(1, len(self._below))))
        own |= dict(zip(names, self._below))
        return {**self.layers, **own}

    @property
    def pi(self) -> np.ndarray:
        """[L, O] probabilities of the kinds."""
        return self.objective.trunk.pi

    @property
    def logits_are_finite(self) -> bool:
        """Whether no architecture logit is NaN or infinite."""
        return all(np.isfinite(v.numpy()).all() for v in self.logits)

    @property
    def parameters(self) -> int:
        """Number of weights, without the architecture logits."""
        return int(sum(np.prod(v.shape) for v in self.weights))

    def tau(self, step: Any) -> tf.Tensor:
        """Temperature at a step."""
        search = self.config.search
        return optimization.tau(
            step,
            self.config.total_steps,
            search.tau_start,
            search.tau_end,
            search.tau_schedule,
            in_steps(search.tau_warmup, self.config.total_steps),
        )

    def _shares(self, step: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The learning rates of weights and logits at a step, as shares of their peaks."""
        search, total = self.config.search, self.config.total_steps
        # it reaches 0 where the weights are frozen
        until = total - self._turns.alone
        shape = optimization.warmup_cosine(step, until, 1.0, self.config.warmup_steps)
        of_logits = {
            "constant": lambda: 1.0,
            "cosine": lambda: shape,
            "rising": lambda: optimization.rising(step, total, self.config.frozen_steps),
            "tau": lambda: self.tau(step) / search.tau_start,
        }[search.arch_schedule]()
        return shape, tf.where(step < self.config.frozen_steps, 0.0, of_logits)

    def tau_at(self, step: int) -> float:
        """The temperature at a step, as a number.

        The step becomes a NumPy number: TensorFlow keeps a tensor of every Python number that it
        gets, 740 to 860 bytes, until the process ends, but none of a NumPy number.
        """
        return float(self.tau(np.int64(step)))

    def rates(self, step: int) -> tuple[float, float]:
        """Learning rates of the weights and of the logits at a step; 0 for frozen logits."""
        of_weights, of_logits = self._shares(np.int64(step))
        return self.config.training.max_lr * float(of_weights), self.config.search.arch_lr * float(
            of_logits
        )

    def empty_memories(self) -> None:
        """Empties the memories, as at the start of an epoch."""
        for kept in self._kept_memories:
            kept.assign(tf.zeros_like(kept))
        self.take_memories()

    def keep_memories(self) -> None:
        """Gathers the replicas' memories in the state, in the order of the batch's rows, so that
        any number of replicas can continue with them."""
        for kept, own, axis in zip(self._kept_memories, self._memories, ROW_AXES):
            kept.assign(self.replicas.all_rows(self.replicas.run(own.read_value), axis))

    def take_memories(self) -> None:
        """Copies the memories of its rows from the state to every replica."""

        def take() -> None:
            for kept, own, axis in zip(self._kept_memories, self._memories, ROW_AXES):
                own.assign(self.replicas.own_rows(kept.read_value(), axis))

        self.replicas.run(take)

    @tf.function(reduce_retracing=True)
    def train(self, windows: Any, count: tf.Tensor) -> tf.Tensor:
        """`count` steps in one graph call. windows: iterator of the objective's elements. Returns
        [count, 3 + 2P]: nll sum (nats), tokens, gradient norm; then, for each of the objective's P
        training_parts, its sum and its weight.

        nll and tokens are those of the step's window, also where weights or logits are not
        updated. The norm is that of the weights' gradient; where they are not updated
        (par.search.bilevel), of the logits'; 0 where neither is. It is NaN, too, where the logits
        or their gradient are not finite.
        """
        parts, data = self.config.contract.training_parts, self.config.data
        spec = self.objective.element_spec(data.batch_size, data.seq_len)
        rows = tf.TensorArray(tf.float32, size=count, element_shape=[3 + 2 * len(parts)])
        for i in tf.range(count):
            window = tf.nest.map_structure(
                lambda x, of: tf.ensure_shape(x, of.shape), next(windows), spec
            )
            rows = rows.write(i, self._take_turn(window))
        return rows.stack()

    def _take_turn(self, window: tf.Tensor) -> tf.Tensor:
        """One step that updates weights, logits or both, whose turn it is; each kind of turn has a
        graph of its own that computes only its gradients."""
        kinds = self._turns.kinds if self.logits else (bilevel.BOTH,)
        steps = [functools.partial(self._train_all, window, turn) for turn in kinds]
        if len(steps) == 1:
            return steps[0]()
        return tf.switch_case(self._turns.index(self.step), steps)

    def _train_all(self, window: tf.Tensor, turn: bilevel.Turn) -> tf.Tensor:
        """The step on every replica, then what is done once for all of them."""
        row = self.replicas.one(self.replicas.run(self._train_step, window, turn))
        if turn.logits:
            self._prune()
        self.step.assign_add(1)
        return row

    def _train_step(self, window: tf.Tensor, turn: bilevel.Turn) -> tf.Tensor:
        step, first = self.step.read_value(), self.replicas.first_row(self.config.data.batch_size)
        phase = Phase(
            training=True,
            seed=self.config.training.seed,
            step=step,
            tau=self.tau(step),
            first_row=first,
            is_warmup=turn.is_warmup,
        )
        rows = tf.range(self.config.data.batch_size, dtype=tf.int64)
        prepared = self.objective.prepare(window, phase.row_seeds("objective", rows))
        batch = self._own_rows(prepared)
        memories = Memories(self._memories.hidden.read_value(), self._memories.valid.read_value())
        sums, after, of_weights, of_logits = self.gradients(batch, memories, phase, turn)
        norm = tf.linalg.global_norm(of_logits) if of_logits else tf.constant(0.0)
        if of_weights:
            norm = self.update_weights(of_weights)
        if of_logits:
            self.logits_optimizer.apply_gradients(zip(of_logits, self.logits))
            # else finite weights would be saved beside broken logits
            sound = _all_finite([*of_logits, *(v.value for v in self.logits)])
            norm = tf.where(sound, norm, np.float32(np.nan))
        if self.config.contract.carries_memory:
            for variable, value in zip(self._memories, after):
                variable.assign(value)
        nll, weight, *parts = sums
        return tf.stack([nll, weight, norm, *parts])

    def _own_rows(self, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """On a replica, its rows of a batch, and all of what it needs whole."""
        shared = self.config.contract.shared
        own = self.replicas.own_rows({k: v for k, v in batch.items() if k not in shared})
        return own | {name: batch[name] for name in shared}

    def update_weights(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Clips the gradients of all weights and applies them; returns their global norm before
        clipping."""
        norm = tf.linalg.global_norm(gradients)
        if self.config.training.clip_norm:
            gradients, _ = tf.clip_by_global_norm(
                gradients, self.config.training.clip_norm, use_norm=norm
            )
        self.weight_optimizer.apply_gradients(zip(gradients, self.weights))
        return norm

    def gradients(
        self, batch: Any, memories: Memories, phase: Phase, turn: bilevel.Turn = bilevel.BOTH
    ) -> tuple[list[tf.Tensor], Memories, list[tf.Tensor], list[tf.Tensor]]:
        """The sums (nll in nats, tokens, then sum and weight of each part), the memories after,
        and the gradients of the mean nll: the weights', the logits'; [] for those that are not
        updated.

        batch and memories are of this replica's rows; sums, mean and gradients are of all rows.
        """
        search = self.config.search
        weights, logits = self.weights if turn.weights else [], self.logits if turn.logits else []
        by_losses = bool(logits) and search.sampling == "single_path" and search.paths > 1
        learning = [v.value for v in (*weights, *([] if by_losses else logits))]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(learning)
            nll, weight, parts, after = self.objective.loss(batch, memories, phase)
        weight = self.replicas.total(weight)
        scale = 1.0 / tf.maximum(weight, 1.0)
        # Dense at once: the norm of sparse slices would leave out that rows of the embedding
        # repeat.
        # What a network has, but does not need, such as the encoder of contexts that no block
        # reads, has a gradient of 0.
        gradients = [
            tf.convert_to_tensor(g)
            for g in tape.gradient(
                nll, learning, output_gradients=scale, unconnected_gradients="zero"
            )
        ]
        if by_losses:
            gradient = self._paths_gradient(batch, memories, phase, nll) * scale
            gradients += tf.split(gradient, [alpha.shape[0] for alpha in logits])
        of_parts = [x for name in self.config.contract.training_parts for x in parts[name]]
        nll, gradients, of_parts = self.replicas.total((nll, gradients, of_parts))
        of_logits = gradients[len(weights) :]
        if of_logits and self._has_terms:
            of_logits = [
                g + of_terms for g, of_terms in zip(of_logits, self._terms_gradient(phase.step))
            ]
        return [nll, weight, *of_parts], after, gradients[: len(weights)], of_logits

    @property
    def _has_terms(self) -> bool:
        return self._latency_penalty is not None or self.config.search.entropy_weight > 0

    def _terms_gradient(self, step: tf.Tensor) -> list[tf.Tensor]:
        """The gradient of the terms of the loss that depend on the logits alone: the latency above
        the target, and the entropy bonus, whose weight decays linearly to 0."""
        search, values = self.config.search, [v.value for v in self.logits]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            left = 1.0 - tf.cast(step, tf.float32) / self.config.total_steps
            entropy = tf.add_n([supernet.entropy(value) for value in values])
            term = -search.entropy_weight * left * entropy
            if self._latency_penalty:
                term += self._latency_penalty(self.logits)
        return tape.gradient(term, values)

    def _prune(self) -> None:
        for alpha, below in zip(self.logits, self._below):
            pruned, counts = supernet.prune(alpha.value, below, self.config.search)
            alpha.assign(pruned)
            below.assign(counts)

    def _paths_gradient(
        self, batch: Any, memories: Memories, phase: Phase, nll: tf.Tensor
    ) -> tf.Tensor:
        """Gradient of the logits [number of stochastic blocks, O] from the nll sums of further
        paths on the same window; `nll` is the first's.

        A path equal to the first one is not computed again: once the search has decided, a step
        costs as much as with one path.
        """
        samples, sums = [self._sample(phase)], [nll]
        for path in range(1, self.config.search.paths):
            other = dataclasses.replace(phase, path=path)
            samples.append(self._sample(other))

            def score(other: Phase = other) -> tf.Tensor:
                return self.objective.loss(batch, memories, other)[0]

            sums.append(tf.cond(tf.reduce_all(samples[0] == samples[-1]), lambda: nll, score))
        return gumbel.leave_one_out(tf.stack(sums), tf.stack(samples))

    def _sample(self, phase: Phase) -> tf.Tensor:
        """[number of stochastic blocks, O] the weights of the kinds in all searched trunks."""
        return tf.concat([trunk.sample(phase).weights for trunk in self._searched], axis=0)

    def evaluate(
        self,
        windows: Iterable[Any],
        phase: Phase = EVALUATION,
        mem_len: int | None = None,
        progress: Callable[[int], None] = lambda made: None,
    ) -> tuple[float, float]:
        """The sums of `token_nll`: nll (nats) and scored tokens."""
        nll_sum = weight_sum = 0.0
        for nll, weight in self.token_nll(windows, phase, mem_len, progress):
            nll_sum += float(np.sum(nll * weight, dtype=np.float64))
            weight_sum += float(np.sum(weight, dtype=np.float64))
        return nll_sum, weight_sum

    def token_nll(
        self,
        windows: Iterable[Any],
        phase: Phase = EVALUATION,
        mem_len: int | None = None,
        progress: Callable[[int], None] = lambda made: None,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The `nll` of `token_scores`: nats and weight."""
        for scores in self.token_scores(windows, phase, mem_len, progress):
            yield scores["nll"]

    def token_scores(
        self,
        windows: Iterable[Any],
        phase: Phase = EVALUATION,
        mem_len: int | None = None,
        progress: Callable[[int], None] = lambda made: None,
        windows_a_row: int = MOST_WINDOWS,
    ) -> Iterator[dict[str, tuple[np.ndarray, np.ndarray]]]:
        """Of each window [B, T+1] in turn, for its targets [B, T]: `nll` (nats) and each of the
        objective's parts, with the weights. Memories are empty before the first. Deterministic.

        B, T and M (mem_len, default the run's) may differ from training's. progress is called with
        the windows just scored. windows_a_row: how many windows of the split each row of the batch
        reads; so the window of row b at step w is number b * windows_a_row + w, on which what an
        objective draws depends; of documents, number w * B + b.
        """
        memories = empty = None
        for step, window in enumerate(windows):
            if memories is None:
                rows = min(each.shape[0] for each in tf.nest.flatten(window))
                empty = memories = self.replicas.run(
                    self.objective.trunk.empty_memories, self.replicas.rows_each(rows), mem_len
                )
                shapes = [each.shape for each in tf.nest.flatten(window)]
                graph = self._evaluation_graph(
                    phase, *shapes, self.replicas.one(memories.hidden).shape
                )
            numbers = np.arange(rows) * windows_a_row + step
            if self.config.contract.reads_documents:
                numbers = np.arange(rows) + rows * step
            numbers = tf.constant(numbers, tf.int64)
            seeds = phase.row_seeds("objective", numbers)
            window = tf.nest.map_structure(tf.convert_to_tensor, window)
            scores, memories = graph(window, seeds, memories)
            if not self.config.contract.carries_memory:
                memories = empty
            yield {name: (x.numpy(), weight.numpy()) for name, (x, weight) in scores.items()}
            progress(1)

    def _evaluation_graph(self, phase: Phase, *shapes: tuple[int | None, ...]) -> Any:
        phase = dataclasses.replace(phase, draw=0)  # what is drawn depends on the seeds alone
        key = (phase, *map(tuple, shapes))
        if key not in self._evaluation_graphs:

            @tf.function(autograph=False)
            def step(window: Any, seeds: tf.Tensor, memories: Memories) -> Any:
                def score(window: Any, seeds: tf.Tensor, memories: Memories) -> Any:
                    batch = self._own_rows(self.objective.prepare(window, seeds, training=False))
                    return self.objective.token_scores(batch, memories, phase)

                scores, memories = self.replicas.run(score, window, seeds, memories)
                return {
                    name: tuple(map(self.replicas.all_rows, pair)) for name, pair in scores.items()
                }, memories

            self._evaluation_graphs[key] = step
        return self._evaluation_graphs[key]


def _all_finite(tensors: list[tf.Tensor]) -> tf.Tensor:
    """Scalar bool: whether no value is NaN or infinite."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(each)) for each in tensors])


def _optimizer(
    of: str, rule: str, rate: Any, decay: float, variables: list[keras.Variable]
) -> keras.optimizers.Optimizer:
    """Adam or AdamW over its variables. of: what they are. rate: a function that returns the
    learning rate of the current step. Gains and biases do not decay."""
    name = f"adam_{of}"  # fixed, as that of a layer: see Transformer
    optimizer = (
        optimization.AdamW(rate, weight_decay=decay, name=name)
        if rule == "adamw"
        else optimization.Adam(rate, name=name)
    )
    exempt = [v for v in variables if len(v.shape) == 1 or v.name.endswith("_bias")]
    if rule == "adamw" and exempt:
        optimizer.exclude_from_weight_decay(var_list=exempt)
    if variables:
        optimizer.build(variables)
    return optimizer
