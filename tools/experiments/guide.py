"""What the commands of the guide print, for the text that is part of Python."""

from __future__ import annotations

import dataclasses

from par.tools.experiments.experiment import (
    PYTHON_DOCS,
    Experiment,
    Step,
    StepPicture,
    Transcript,
    no_rows,
)

PAGE = "docs/guide.md"
IN_WORDS = "docs/how-it-works.md"
STEPS = (
    Step("data", "build_data", ("--corpus=python-docs", "--recipe=quick", "--output_dir={data}")),
    Step("search", "train", ("--data={data}", "--recipe=quick", "--run={search}")),
    Step("plots", "plot_pi", ("--run={search}", "--output_dir={plots}")),
    Step("network", "derive", ("--run={search}", "--output={network}/architecture.json")),
)
DRAWING = Step(
    "drawing", "plot_network", ("--architecture=aaddad", "--output={drawing}/network.png")
)

PI = StepPicture(
    "pi-over-time",
    PAGE,
    "pi of every block over the steps, and tau",
    "plots",
    "pi_over_time.png",
)
STACK = StepPicture(
    "stack",
    PAGE,
    "aaddad: six blocks between embedding and softmax, memories coming into blocks 1, 2 and 5",
    DRAWING.name,
    "network.png",
    width=272,
)

EXPERIMENTS = (
    Experiment(
        "guide",
        "what the commands of the guide print",
        minutes=5,
        corpus=PYTHON_DOCS,
        steps=STEPS,
        rows=no_rows,
        parts=(
            *(Transcript(step.name, PAGE, (step.name,)) for step in STEPS),
            PI,
            dataclasses.replace(PI, name="pi-explained", page=IN_WORDS),
        ),
        seeds=(0,),
        directories={
            "data": "data/python-docs",
            "search": "logs/docs",
            "plots": "logs/docs/plots",
            "network": "logs/docs",
        },
    ),
    Experiment(
        "network_drawing",
        "a network as a stack of blocks",
        minutes=0.1,
        corpus=PYTHON_DOCS,
        steps=(DRAWING,),
        rows=no_rows,
        parts=(
            Transcript(DRAWING.name, PAGE, (DRAWING.name,)),
            STACK,
            dataclasses.replace(STACK, name="stack-explained", page=IN_WORDS),
        ),
        directories={DRAWING.name: "logs"},
    ),
)
