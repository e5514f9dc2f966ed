"""A causal transformer that forecasts lead-time demand from the window of what was seen; orders follow its quantiles.

Sources: Vaswani et al. 2017, "Attention is all you need"; Xiong et al. 2020, "On layer normalization in the transformer
architecture", for blocks that normalise first; Eisenach et al. 2020, "MQTransformer" (arXiv 2009.14799), for quantiles.
"""

from dataclasses import dataclass
from typing import ClassVar

from invbench.learning.foresight import Foresight


@dataclass(frozen=True)
class Transformer(Foresight):
    """See `Foresight`."""

    kind: ClassVar[str] = "transformer"
