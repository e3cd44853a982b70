"""Compares the network of a search with opponents that are trained under the same recipe.

    python tools/compare.py --run=logs/SEARCH --latency_table=logs/SEARCH/latency.json
        opponents of equal latency by the table
    python tools/compare.py --run=logs/SEARCH --match=parameters --num_seeds=5
        opponents of equally many parameters
    python tools/compare.py --run=logs/SEARCH --finalists_of=logs/SEARCH-compare --num_seeds=5
        the best networks of that comparison, by further seeds
    python tools/compare.py --run=logs/SEARCH --dry_run
        what would be trained
    python tools/compare.py --run=logs/SEARCH --truth
        the SuperNet and what was derived from it, no opponents
    python tools/compare.py --certify --run=logs/SEARCH --budget_ratio=0.65 --latency_table=FILE
        the best of all networks within a budget, by training them
    python tools/compare.py --certify --data=DIR --recipe=auto --num_blocks=6
        ... without a search, of any latency
    python tools/compare.py --all --data=DIR --recipe=auto --num_blocks=6
        a table of all 127 networks of up to six blocks
    python tools/compare.py --all --data=DIR --recipe=auto --objective=masked_lm
        ... trained by another objective

Opponents, as deep as the search: the interleaved Transformer-XL (adadad), the sandwich (Press et
al. 2020), the PAR paper's rule, all attention, all dense, --architectures, and random networks of
at most as many blocks, drawn with equal probability from all whose latency by the table lies
within --tolerance of the derived network's. Identity adds nothing, so `diidad` and `ddad` are one
network, and no network is drawn twice or beside its name. Where --num_random reaches the number of
networks that there are, all of them are compared, and the verdict speaks of all. Without a table,
and with --match=parameters, the number of parameters of the blocks takes the place of the latency.
The named networks may cost more or less: the picture shows the front, and the verdict counts only
those that cost at most --tolerance more than the derived network; it also says if the search did
not win.

Every network is a run in OUTPUT_DIR with the search's settings, one for each seed; networks are
compared by perplexity per word, paired by seed. The same command continues, trains nothing twice,
and writes compare.csv, compare.json and compare.png.

With --finalists_of the networks are those of another comparison that is finished: the derived and
the interleaved one, and the best others that cost at most its tolerance more than the derived one.
Their seeds are others than those by which they were chosen, which would favour what was lucky.

With --truth the rows are the SuperNet as its mixture and as its argmax, and the derived network
with the SuperNet's weights as they are, fine-tuned from these, and trained from scratch: scores on
valid and test, steps and time of each. It writes truth.json. The runs from scratch are shared with
the comparison: what one of the two commands has trained, the other does not train again.

With --certify all networks within the budget are listed. Up to --max_networks are raced: each is
trained for a quarter of the steps with the first seed, then to the end, the most promising first;
one that is clearly worse is dropped, the others get more seeds, paired. Of more networks some are
drawn, then those are trained that what is known makes most promising (a search's log probability
counts, too), and the best are confirmed by more seeds. It ends when one is certain, within
--within of the best, or out of --num_trainings, and says what can be claimed: the best of N, with
which probability, and how far it can be above the true best; or which can't be told apart. Valid
decides; test is read once, at the end. It writes architecture.json, certify.csv, certify.json and
certify.png.

With --all every network of at most --num_blocks blocks is trained with --num_seeds seeds, and the
best --num_leaders with --leader_seeds. The figures of all epochs go into one file (par.block_table
reads it), which another command continues, also elsewhere; the runs keep no checkpoints.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys

from absl import flags

from par.core.config import ModelConfig, TrainingConfig, fields
from par.core.errors import UsageError
from par.evaluate.certify import procedure
from par.evaluate.compare import statistics
from par.search import latency_table
from par.tools.cli.checks import refuse_idle
from par.tools.cli.flags import Flags, choice, define_path, define_paths
from par.tools.comparisons import all_networks, certify, opponents, truth

MODEL = [field.name for field, _ in fields(ModelConfig)]
OF_NETWORKS = (*MODEL, *Flags("").of_objectives)  # what a search would say
# flags that only some of the comparisons have, '' being that with opponents
FLAGS_OF = {
    "": (
        *(
            "architectures",
            "finalists_of",
            "num_finalists",
            "split",
            "match",
            "tolerance",
            "latency_table",
            "latency_of",
        ),
        *("num_random", "random_seed", "repeats", "steps"),
    ),
    "truth": ("fine_tune_epochs", "fine_tune_lr"),
    "certify": (
        *("budget_ms", "budget_ratio", "max_networks", "num_trainings", "within"),
        *("num_parallel", "num_blocks", "recipe", "latency_table", "latency_of", "random_seed"),
        *OF_NETWORKS,
    ),
    "all": (
        *("num_leaders", "leader_seeds", "table", "num_parallel", "num_blocks", "recipe"),
        "latency_table",
        *OF_NETWORKS,
    ),
}
OF_THE_DRAW = ("num_random", "random_seed")
WORK = {
    "": opponents.work,
    "truth": truth.work,
    "certify": certify.work,
    "all": all_networks.work,
}
RECIPE = [field.name for field, _ in fields(TrainingConfig) if field.name != "seed"]
FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (
            define_path,
            "run",
            None,
            (
                "the search: a run directory; its architecture.json says what was derived, else"
                " argmax of the last pi; not needed for --certify"
            ),
        ),
        (
            define_path,
            "derived",
            None,
            "the derived network, if it is not RUN/architecture.json: a file of tools/derive.py",
        ),
        (
            define_path,
            "data",
            None,
            "data set, if it has moved since the training; without --run that of --certify",
        ),
        (
            define_path,
            "output_dir",
            None,
            (
                "directory of the comparison; default RUN-compare, with --finalists_of"
                " RUN-finalists, with --certify RUN-certify"
            ),
        ),
        (
            define_paths,
            "architectures",
            [],
            "a further opponent: blocks such as aadd or 2(ad), or an architecture.json",
        ),
        (
            define_path,
            "finalists_of",
            None,
            "directory of a finished comparison, whose best networks are compared by other seeds",
        ),
        (
            flags.DEFINE_integer,
            "num_finalists",
            3,
            "with --finalists_of: how many networks beside the derived and the interleaved one",
        ),
        (
            flags.DEFINE_integer,
            "num_seeds",
            None,
            (
                "runs of each network, default 3; one has no interval. With --certify the most of"
                " one network, default 8"
            ),
        ),
        (
            flags.DEFINE_integer,
            "seed",
            None,
            (
                "first seed; the default is the one after the search's and after those by"
                " which finalists were chosen"
            ),
        ),
        (
            choice(*statistics.SCORED),
            "split",
            "test",
            "split that is compared on; both are scored",
        ),
        (
            flags.DEFINE_bool,
            "report_only",
            False,
            "train and measure nothing; report what is finished",
        ),
        (flags.DEFINE_bool, "dry_run", False, "print what would be trained, and do nothing"),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .own(
        "What became of the search",
        (
            flags.DEFINE_bool,
            "truth",
            False,
            (
                "instead of opponents: the SuperNet, and what was derived, with its weights,"
                " fine-tuned, from scratch"
            ),
        ),
        (
            flags.DEFINE_integer,
            "fine_tune_epochs",
            1,
            (
                "epochs of fine-tuning; the warm-up is the same share of them as in"
                " training from scratch"
            ),
        ),
        (
            flags.DEFINE_float,
            "fine_tune_lr",
            None,
            "peak learning rate of fine-tuning; the default is that from scratch, max_lr",
        ),
    )
    .own(
        "Certified choice",
        (
            flags.DEFINE_bool,
            "certify",
            False,
            (
                "instead of opponents: the best of all networks within a budget, by training"
                " them, and how certain that is"
            ),
        ),
        (flags.DEFINE_float, "budget_ms", None, "most milliseconds that the network may take"),
        (
            flags.DEFINE_float,
            "budget_ratio",
            None,
            "most latency as a share of the interleaved network's of the same depth",
        ),
        (
            flags.DEFINE_integer,
            "max_networks",
            procedure.MAX_RACED,
            "of at most so many networks all are trained; of more a surrogate chooses some",
        ),
        (
            flags.DEFINE_integer,
            "num_trainings",
            32,
            "most trainings of full length; one that ends early counts a quarter",
        ),
        (
            flags.DEFINE_float,
            "within",
            0.005,
            "share of perplexity above the best that is good enough to end",
        ),
        (
            flags.DEFINE_integer,
            "num_parallel",
            0,
            "trainings side by side, each on its share of the cores; 0: two where there are two",
        ),
        (flags.DEFINE_integer, "num_blocks", 6, "without --run: most blocks of a network"),
        (
            define_path,
            "recipe",
            "",
            (
                "without --run: settings by name (quick, base, seed), auto (quick for a text below"
                " 4 MB, else base), or a .flags file; flags given here come first"
            ),
        ),
    )
    .own(
        "All networks",
        (
            flags.DEFINE_bool,
            "all",
            False,
            "instead of opponents: a table of all networks of at most --num_blocks blocks",
        ),
        (
            flags.DEFINE_integer,
            "num_leaders",
            10,
            "how many of the best get further seeds when all have --num_seeds",
        ),
        (flags.DEFINE_integer, "leader_seeds", 10, "runs of each of these"),
        (
            define_path,
            "table",
            None,
            (
                "file of the table, which is continued if it is there: what it has is not trained"
                " again; default OUTPUT_DIR/table.npz"
            ),
        ),
    )
    .own(
        "Equal cost",
        (
            choice("latency", "parameters", "none"),
            "match",
            "latency",
            "what random networks share with the derived network; none: draw from all",
        ),
        (
            flags.DEFINE_float,
            "tolerance",
            0.05,
            "share by which a cost may differ and still count as equal",
        ),
        (
            define_path,
            "latency_table",
            None,
            (
                "table that tools/measure_latency.py made; without one, costs are parameters of"
                " the blocks"
            ),
        ),
        (
            choice(*latency_table.CASES),
            "latency_of",
            "inference",
            "which of the table's latencies counts",
        ),
        (
            flags.DEFINE_integer,
            "num_random",
            8,
            "random networks; 19 are the fewest whose best rank has a probability of 0.05; where"
            " there are not as many, all of them",
        ),
        (flags.DEFINE_integer, "random_seed", 0, "seed of the draw"),
        (
            flags.DEFINE_integer,
            "repeats",
            15,
            "rounds of measuring all networks in turn, at the end",
        ),
        (
            flags.DEFINE_integer,
            "steps",
            5,
            "windows and training steps of one measurement, of which the fastest counts",
        ),
    )
    .group(
        TrainingConfig,
        "Training (what is not given is as in the search)",
        only=RECIPE,
        inherited=True,
    )
    .group(ModelConfig, "Network (with --certify or --all, without --run)", inherited=True)
    .objectives()
)


def _mode(values: Flags) -> str:
    """Which comparison is asked for. Raises: UsageError for flags that do not go together."""
    asked = [name for name in WORK if name and getattr(values, name)]
    if len(asked) > 1:
        raise UsageError(f"--{asked[0]} and --{asked[1]} are two comparisons: leave one out")
    mode = asked[0] if asked else ""
    for other, names in FLAGS_OF.items():
        idle = [name for name in names if name not in FLAGS_OF[mode]]
        if mode:
            refuse_idle(values, idle, beside=mode)
        else:
            refuse_idle(values, idle, without=other)
    if values.finalists_of:
        refuse_idle(values, OF_THE_DRAW, beside="finalists_of")
    else:
        refuse_idle(values, ("num_finalists",), without="finalists_of")
    if values.dry_run:
        refuse_idle(values, ("report_only",), beside="dry_run")
    if values.run:
        refuse_idle(values, ("num_blocks", "recipe", *OF_NETWORKS), beside="run")
    if not values.latency_table and mode == "":
        refuse_idle(values, ("latency_of",), without="latency_table")
    elif values.match == "parameters":
        refuse_idle(values, ("latency_table",), beside="match=parameters")
    return mode


def _work(values: Flags) -> int:
    return WORK[_mode(values)](values)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
