"""What uncertain money is worth: its mean, its mean beyond a quantile, and a mixture of the two."""

from dataclasses import dataclass

import numpy as np

from invbench.checks import choice, number


@dataclass(frozen=True)
class Risk:
    """(1 - weight) mean + weight CVaR at alpha; made by `create`, which checks. Neutral: weight 0."""

    weight: float = 0.0
    alpha: float = 0.9  # CVaR is the mean of the 1 - alpha dearest share of cases

    def of(self, costs: np.ndarray, probability: np.ndarray) -> float:
        """Money that stands for costs [scenario]."""
        return float((1 - self.weight) * probability @ costs + self.weight * cvar(costs, probability, self.alpha))


def cvar(costs: np.ndarray, probability: np.ndarray, alpha: float) -> float:
    """The mean of the 1 - alpha dearest share of cases: min over eta of eta + E max(costs - eta, 0) / (1 - alpha).

    The least eta is a quantile, so one of the costs (Rockafellar and Uryasev 2000, J. Risk 2(3)).
    """
    beyond = np.maximum(costs - costs[:, None], 0) @ probability
    return float((costs + beyond / (1 - alpha)).min())


def create(*, kind: str = "neutral", weight: float = 0.5, alpha: float = 0.9) -> Risk:
    """Checked. kind: neutral (weight does not matter) | cvar. Raises ValueError where a field makes no sense."""
    choice("planner.risk.kind", kind, ("neutral", "cvar"))
    weight = number("planner.risk.weight", weight, low=0, high=1)
    alpha = number("planner.risk.alpha", alpha, low=0, high=1)
    if alpha == 1:
        raise ValueError(f"planner.risk.alpha must be a number >= 0 and < 1, got {alpha:g}")
    return Risk(weight if kind == "cvar" else 0.0, alpha)
