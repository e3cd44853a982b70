"""The cost of a step on many devices, by a formula (par/bench/scaling_model.py).

python tools/benchmark.py scaling --num_devices=8
"""

from __future__ import annotations

from typing import Any

from absl import flags

from par.bench import scaling_model
from par.core.config import ModelConfig, SearchConfig
from par.core.errors import UsageError
from par.search import architecture, flops
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags, define_path

FLAGS = (
    Flags(__doc__)
    .own(
        "scaling",
        (define_path, "architecture", "6s", "blocks of the network"),
        (flags.DEFINE_multi_integer, "num_devices", [1, 8], "devices R"),
        (flags.DEFINE_float, "tflops", 10.0, "TFLOP/s that a device reaches in training"),
        (flags.DEFINE_float, "link_gigabytes", 10.0, "GB/s from each device to the next"),
        (flags.DEFINE_float, "overhead_ms", 1.0, "milliseconds of a step that do not shrink"),
        (
            flags.DEFINE_integer,
            "devices_per_machine",
            8,
            "devices of one machine, whose worker reads for all of them",
        ),
        (flags.DEFINE_float, "gigatokens", 0.1, "10^9 tokens of the train split"),
        settings.VOCABULARY,
        *settings.BATCH,
        settings.OUTPUT,
    )
    .group(ModelConfig, "scaling: network")
    .group(SearchConfig, "scaling: search", only=("sampling", "paths"))
)
POSITIVE = (
    "tflops",
    "link_gigabytes",
    "gigatokens",
    "vocab_size",
    "batch_size",
    "seq_len",
    "devices_per_machine",
)
COLUMNS = [
    ("devices", "{devices}"),
    ("compute ms", "{compute_ms:.1f}"),
    ("all-reduce ms", "{communication_ms:.1f}"),
    ("step ms", "{step_ms:.1f}"),
    ("efficiency", "{efficiency:.0%}"),
    ("state MB", "{state_megabytes:,.0f}"),
    ("activations MB", "{activation_megabytes:,.0f}"),
    ("hours/epoch", "{hours_per_epoch:.2f}"),
    ("read GB/epoch and machine", "{read_gigabytes_per_epoch_and_machine:.2f}"),
    ("MB/s", "{read_megabytes_per_second_and_machine:.1f}"),
]


def work(values: Flags) -> int:
    """Evaluates the formula for each number of devices, and prints the table."""
    for name in POSITIVE:
        if not getattr(values, name) > 0:
            raise UsageError(f"--{name} must be above 0, but is {getattr(values, name)}")
    settings.check_at_least(1, values, "num_devices")
    settings.check_at_least(0, values, "overhead_ms")
    for devices in values.num_devices:
        settings.check_divisible(values, "batch_size", "num_devices", devices)
    model, search = values.read(ModelConfig), values.read(SearchConfig)
    model.check_vocabulary(values.vocab_size)
    blocks = architecture.parse(values.architecture)
    counts = flops.zipf_counts(values.vocab_size)
    steps = int(values.gigatokens * 1e9) // (values.batch_size * values.seq_len)

    def estimate(devices: int) -> scaling_model.Estimate:
        machines = scaling_model.Machines(
            devices, values.tflops * 1e12, values.link_gigabytes * 1e9, values.overhead_ms / 1e3
        )
        return scaling_model.estimate(
            blocks.blocks, model, search, values.batch_size, values.seq_len, counts, machines
        )

    alone = estimate(1).seconds
    rows = [_row(values, devices, estimate(devices), steps) for devices in values.num_devices]
    for row in rows:
        row["efficiency"] = 1e3 * alone / row["step_ms"] / row["devices"]
    parameters = scaling_model.parameters(blocks.blocks, model, values.vocab_size)
    figures = {
        "architecture": blocks.blocks,
        "parameters": parameters,
        "steps_per_epoch": steps,
        "scaling": rows,
    }
    return output.show(
        values,
        figures,
        lambda: [
            f"{blocks.short}: {parameters:,} parameters; batch {values.batch_size} x"
            f" {values.seq_len}; {steps:,} steps an epoch",
            *output.table(COLUMNS, rows, left=0),
            "by the formula of par/bench/scaling_model.py; state: parameters, gradients, moments;"
            " memory of one device, by figures of a CPU",
        ],
    )


def _row(values: Flags, devices: int, found: scaling_model.Estimate, steps: int) -> dict[str, Any]:
    return {
        "devices": devices,
        "compute_ms": 1e3 * found.compute,
        "communication_ms": 1e3 * found.communication,
        "step_ms": 1e3 * found.seconds,
        "state_megabytes": found.state_bytes / 1e6,
        "activation_megabytes": found.activation_bytes / 1e6,
        "hours_per_epoch": steps * found.seconds / 3600,
        "read_gigabytes_per_epoch_and_machine": steps * found.read_bytes / 1e9,
        "read_megabytes_per_second_and_machine": found.read_bytes / found.seconds / 1e6,
        "machines": -(-devices // values.devices_per_machine),
    }
