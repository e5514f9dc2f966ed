"""Normal demand, cut off at zero: the textbooks' continuous demand, in units and not in shares."""

from invbench.checks import number, require
from invbench.scenarios import profile


def create(*, mean: float, std: float, items: int) -> profile.Profile:
    """Independent normal demand; mean and standard deviation in units per period. CV = std / mean."""
    mean = number("scenario.mean", mean, low=0, above=True)
    std = number("scenario.std", std, low=0)
    require(std <= mean / 3, "scenario.std", f"<= scenario.mean / 3 ({mean / 3:g}), or much demand would be cut off at zero", std)
    return profile.create(
        mean=mean, cv=std / mean, annual=0, weekly=0, trend=0, distribution="normal", noise="constant", items=items
    )
