"""A recurrent network (LSTM) that forecasts lead-time demand from the window of what was seen; orders follow its quantiles.

Sources: Hochreiter and Schmidhuber 1997, "Long short-term memory"; Wen et al. 2017, "A multi-horizon quantile recurrent
forecaster" (arXiv 1711.11053); Salinas et al. 2020, "DeepAR", for networks that are shared by all series.
"""

from dataclasses import dataclass
from typing import ClassVar

from invbench.learning.foresight import Foresight


@dataclass(frozen=True)
class LSTM(Foresight):
    """See `Foresight`."""

    kind: ClassVar[str] = "lstm"
