"""What TensorBoard shows of a run besides single figures: a page of charts by subject, and a table
of settings with final scores."""

from __future__ import annotations

from typing import Any

from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import summary as custom_scalar
from tensorboard.plugins.hparams import summary_v2 as hparams

from par.objectives.contract import Contract
from par.train.run_config import RunConfig


def layout(config: RunConfig) -> bytes:
    """The summary that defines the page of custom scalars: a chart shows all tags that one of its
    patterns matches."""
    contract = config.contract
    charts = {
        title: {label: [f"^{contract.figure(name).tag}"] for label, name in lines.items()}
        for title, lines in contract.charts.items()
    }
    schedule = {"learning rate of the weights": ["^schedule/learning_rate$"]}
    if config.architecture.is_search:
        stochastic = [
            block for block, kind in enumerate(config.architecture.blocks, 1) if kind == "s"
        ]
        charts.setdefault("Loss", {})["argmax - soft"] = ["^gap/nll_per_token$"]
        charts["pi by block"] = {
            f"block {block}": [f"^pi_block_{block:02d}/"] for block in stochastic
        }
        charts["Entropy"] = {
            "mean (nats)": ["^entropy/mean$"],
            "by block (nats)": ["^entropy/block_"],
        }
        charts["Argmax"] = {
            "blocks of each kind": ["^argmax/(Attention|Dense|Identity)$"],
            "share of stable blocks": ["^argmax/stable_share$"],
        }
        if config.search.latency_ms:
            charts["Latency"] = {"of pi and of its argmax": ["^latency/"]}
        schedule |= {
            "tau": ["^schedule/tau$"],
            "learning rate of the logits": ["^schedule/arch_lr$"],
        }
    charts |= {"Schedule": schedule, "Speed": {"tokens a second": ["^speed/tokens_per_second$"]}}
    categories = [
        layout_pb2.Category(
            title=title,
            chart=[
                layout_pb2.Chart(title=name, multiline=layout_pb2.MultilineChartContent(tag=tags))
                for name, tags in content.items()
            ],
        )
        for title, content in charts.items()
    ]
    return custom_scalar.pb(layout_pb2.Layout(category=categories)).SerializeToString()


def settings(config: RunConfig, name: str, parameters: int) -> bytes:
    """The summary that adds a run to the page of hyperparameters. name: the run's. parameters:
    number of weights."""
    values: dict[str, Any] = {
        "architecture": config.architecture.short,
        "data": config.data.name,
        "parameters": parameters,
    }
    for group in (
        config.model,
        config.training,
        *([config.search] if config.architecture.is_search else []),
        *([config.objective_settings] if config.objective_settings else []),
    ):
        values |= {key: _plain(value) for key, value in group.to_json().items()}
    return hparams.hparams_pb(values, trial_id=name).SerializeToString()


def final(rows: list[dict[str, Any]], contract: Contract) -> dict[str, float]:
    """The final scores of a run by tag, from the rows of its last evaluation: one row, or for a
    search `soft` and `argmax`."""
    last = [row for row in rows if row["step"] == rows[-1]["step"]]
    named = {
        f"final/{name}{'_argmax' if row['evaluate_as'] == 'argmax' else ''}": row[name]
        for row in last
        for name in contract.names
    }
    return {tag: value for tag, value in named.items() if value is not None} | {
        "final/seconds": rows[-1]["seconds"]
    }


def _plain(value: Any) -> bool | int | float | str:
    """A setting as TensorBoard takes it."""
    return (
        value
        if isinstance(value, (bool, int, float, str))
        else "none"
        if not value
        else " ".join(map(str, value))
    )
