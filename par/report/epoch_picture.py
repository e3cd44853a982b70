"""The picture of pi that TensorBoard shows for the end of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from par.train.hooks import EpochEnd


class PiPicture:
    """A hook that draws pi of a search as the frames of its GIF are drawn."""

    def __init__(self) -> None:
        self._heat_map = None

    def __call__(self, end: EpochEnd) -> None:
        if end.learner.logits and end.has_picture:
            image = self.draw(
                end.learner.config.architecture.blocks,
                end.learner.pi,
                end.step,
                end.learner.tau_at(end.step - 1),
            )
            end.logs.pi_picture(end.step, image)

    def draw(self, blocks: str, pi: np.ndarray, step: int, tau: float) -> np.ndarray:
        """The picture [1, height, width, 3] uint8 of pi [L, O]."""
        from par.report import heat_map  # matplotlib, which a fixed network never needs

        if self._heat_map is None:
            self._heat_map = heat_map.HeatMap([blocks])
        image = self._heat_map.draw([heat_map.State(pi, step, tau)])
        return np.asarray(image.convert("RGB"))[None]
