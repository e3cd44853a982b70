"""How well each sampling estimates the gradient of the logits, by enumeration.

python tools/benchmark.py estimators --blocks=3        a larger network, 27 paths
"""

from __future__ import annotations

from absl import flags

from par.core.errors import UsageError
from par.search.architecture import KINDS
from par.tools.benchmarks import output, settings
from par.tools.cli.flags import Flags
from par.tools.cli.tensorflow import start_tensorflow

FLAGS = Flags(__doc__).own(
    "estimators",
    (
        flags.DEFINE_integer,
        "blocks",
        2,
        "stochastic blocks of the small network: 3^blocks paths are enumerated",
    ),
    (flags.DEFINE_integer, "draws", 1000, "gradients that each way of sampling draws"),
    (flags.DEFINE_integer, "seed", 0, "seed of the network, the text and the draws"),
    settings.OUTPUT,
)
COLUMNS = [
    ("", "{name}"),
    ("bias", "{bias:.3f}"),
    ("its error", "{error:.3f}"),
    ("deviation", "{deviation:.3f}"),
    ("cosine", "{cosine:.3f}"),
]


def work(values: Flags) -> int:
    """Measures each way of sampling, and prints the table."""
    settings.check_at_least(1, values, "blocks")
    settings.check_at_least(2, values, "draws")
    settings.check_at_least(0, values, "seed")
    if values.blocks > 5:
        raise UsageError(f"--blocks must be at most 5, but is {values.blocks}")
    start_tensorflow()
    from par.bench import gradient_estimators

    exact, estimates = gradient_estimators.measure(values.blocks, values.draws, values.seed)
    by_name = {name: estimate._asdict() for name, estimate in estimates.items()}
    figures = {"exact": exact.tolist(), "draws": values.draws, "estimates": by_name}
    gradient = " ".join(f"{kind} {value:+.3f}" for row in exact for kind, value in zip(KINDS, row))
    return output.show(
        values,
        figures,
        lambda: [
            *output.table(COLUMNS, [{"name": name, **row} for name, row in by_name.items()]),
            f"{values.draws:,} draws; norms of mean - exact, of its standard error and of a"
            " draw's standard deviation, over that of the exact gradient;",
            f"the exact gradient of the expected loss: {gradient}",
        ],
    )
