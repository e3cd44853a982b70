"""One train step and one evaluation step over an objective; carries the memories; every step goes through `strategy.run`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from par import optimizers, schedules
from par.objectives import OBJECTIVES
from par.phase import EVALUATION, Phase
from par.runs import RunConfig
from par.transformer import Memories, Transformer

OBJECTIVE_PLACE = 65_536  # place of an objective's random numbers, beyond every block's


class Learner:
    """The network of a run with its two optimizers: one for the weights, one for the architecture logits."""

    def __init__(self, config: RunConfig):
        self.config, self.strategy = config, tf.distribute.get_strategy()
        training, search = config.training, config.search
        with self.strategy.scope():
            self.objective = OBJECTIVES[config.objective](config.model, config.data.vocab_size, training.seed)
            self.objective.build(
                lambda: Transformer(config.architecture, config.model, search, config.data.vocab_size, training.seed),
            )
            self.logits = self.objective.trunk.logits
            self.weights = [v for layer in self.objective.layers.values() for v in layer.trainable_variables if all(v is not a for a in self.logits)]
            rate = schedules.WarmupCosine(config.total_steps, training.max_lr, training.warmup_steps)
            arch_rate = schedules.WarmupCosine(config.total_steps, search.arch_lr, training.warmup_steps)
            self.weight_optimizer = _optimizer(training.optimizer, rate, training.weight_decay, self.weights)
            constant = search.arch_schedule == "constant"
            self.logits_optimizer = _optimizer("adamw", search.arch_lr if constant else arch_rate, search.arch_weight_decay, self.logits)
            self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
            empty = self.objective.trunk.empty_memories(config.data.batch_size)
            self._memories = Memories(*(tf.Variable(tensor, trainable=False) for tensor in empty))
        self._evaluation_graphs: dict[tuple, Any] = {}

    @property
    def state(self) -> dict[str, Any]:
        """All that a checkpoint must hold, by name; each optimizer by itself."""
        own = {"weight_optimizer": self.weight_optimizer, "step": self.step, "memory": self._memories.hidden, "memory_valid": self._memories.valid}
        return {**self.objective.layers, **own, **({"logits_optimizer": self.logits_optimizer} if self.logits else {})}

    @property
    def pi(self) -> np.ndarray:
        """[L, O] probabilities of the kinds."""
        return self.objective.trunk.pi

    @property
    def parameters(self) -> int:
        """Number of weights, without the architecture logits."""
        return int(sum(np.prod(v.shape) for v in self.weights))

    def tau(self, step: Any) -> tf.Tensor:
        """Temperature at a step."""
        search = self.config.search
        return schedules.tau(step, self.config.total_steps, search.tau_start, search.tau_end, search.tau_schedule)

    def rates(self, step: int) -> tuple[float, float]:
        """Learning rates of the weights and of the logits at a step."""
        training, search = self.config.training, self.config.search
        shape = float(schedules.warmup_cosine(step, self.config.total_steps, 1.0, training.warmup_steps))
        return training.max_lr * shape, search.arch_lr * (shape if search.arch_schedule == "cosine" else 1.0)

    def empty_memories(self) -> None:
        """Forgets: at the start of an epoch."""
        for variable in self._memories:
            variable.assign(tf.zeros_like(variable))

    @tf.function(reduce_retracing=True)
    def train(self, windows: Any, count: tf.Tensor) -> tf.Tensor:
        """`count` updates in one graph call. windows: iterator of [B, T+1]. Returns [count, 3]: nll sum (nats), tokens, gradient norm."""
        rows = tf.TensorArray(tf.float32, size=count, element_shape=[3])
        for i in tf.range(count):
            window = tf.ensure_shape(next(windows), [self.config.data.batch_size, self.config.data.seq_len + 1])
            rows = rows.write(i, self.strategy.run(self._train_step, args=(window,)))
        return rows.stack()

    def _train_step(self, window: tf.Tensor) -> tf.Tensor:
        step = self.step.read_value()
        phase = Phase(training=True, seed=self.config.training.seed, step=step, tau=self.tau(step))
        batch = self.objective.prepare(window, phase.seed_of(OBJECTIVE_PLACE))
        memories = Memories(self._memories.hidden.read_value(), self._memories.valid.read_value())
        with tf.GradientTape() as tape:
            nll, weight, _, after = self.objective.loss(batch, memories, phase)
            loss = nll / tf.maximum(weight, 1.0)
        # Dense at once: the norm of sparse slices would leave out that rows of the embedding repeat.
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(loss, [v.value for v in (*self.weights, *self.logits)])]
        of_weights, of_logits = gradients[: len(self.weights)], gradients[len(self.weights) :]
        norm = tf.linalg.global_norm(of_weights)
        if self.config.training.clip_norm:
            of_weights, _ = tf.clip_by_global_norm(of_weights, self.config.training.clip_norm, use_norm=norm)
        self.weight_optimizer.apply_gradients(zip(of_weights, self.weights))
        if self.logits:
            self.logits_optimizer.apply_gradients(zip(of_logits, self.logits))
        for variable, value in zip(self._memories, after):
            variable.assign(value)
        self.step.assign_add(1)
        return tf.stack([nll, weight, norm])

    def evaluate(
        self,
        windows: tf.data.Dataset,
        phase: Phase = EVALUATION,
        mem_len: int | None = None,
        progress: Callable[[int], None] = lambda made: None,
    ) -> tuple[float, float]:
        """nll sum (nats) and scored tokens of a sequence of windows [B, T+1], memories empty at its start. Deterministic.

        B, T and M (mem_len, default the run's) may differ from training's. progress is called with the windows just scored.
        """
        nll_sum = weight_sum = 0.0
        memories = None
        for window in windows:
            if memories is None:
                memories = self.objective.trunk.empty_memories(window.shape[0], mem_len)
                graph = self._evaluation_graph(phase, window.shape, memories.hidden.shape)
            nll, weight, memories = graph(window, memories)
            nll_sum += float(nll)
            weight_sum += float(weight)
            progress(1)
        return nll_sum, weight_sum

    def _evaluation_graph(self, phase: Phase, *shapes: tf.TensorShape) -> Any:
        key = (phase, *map(tuple, shapes))
        if key not in self._evaluation_graphs:

            @tf.function
            def step(window: tf.Tensor, memories: Memories) -> Any:
                def score(window: tf.Tensor, memories: Memories) -> Any:
                    nll, weight, _, after = self.objective.loss(self.objective.prepare(window, phase.seed_of(OBJECTIVE_PLACE)), memories, phase)
                    return nll, weight, after

                return self.strategy.run(score, args=(window, memories))

            self._evaluation_graphs[key] = step
        return self._evaluation_graphs[key]


def _optimizer(name: str, rate: Any, decay: float, variables: list[keras.Variable]) -> keras.optimizers.Optimizer:
    """Adam or AdamW over its variables; `rate` is a number or a schedule. Gains and biases do not decay."""
    optimizer = optimizers.AdamW(rate, weight_decay=decay) if name == "adamw" else optimizers.Adam(rate)
    exempt = [v for v in variables if len(v.shape) == 1 or v.name.endswith("_bias")]
    if name == "adamw" and exempt:
        optimizer.exclude_from_weight_decay(var_list=exempt)
    if variables:
        optimizer.build(variables)
    return optimizer
