"""Where to build before demand is known: sites and sizes now, service in each scenario later, for the mean cost or its tail."""

import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from invbench.checks import choice, number, require
from invbench.networks.facilities import Facilities
from invbench.planners import cuts, strategic
from invbench.planners.levels import Levels
from invbench.planners.outlook import Drawn, Given, Scenarios
from invbench.planners.risk import Risk, cvar
from invbench.planners.solve import Infeasible, Limits, NoPlan, Solution, scip
from invbench.planners.two_stage import TwoStage


@dataclass(frozen=True)
class Stochastic:
    """Which sites to open, and how large, before demand is known; made by `create`, which checks.

    Units that are not served cost a penalty, so capacity may be below demand. `solver`: extensive (all scenarios in one model),
    benders (cuts), or auto: cuts from two scenarios on. Of 20 sites, 50 customers and 10 scenarios the extensive form takes
    SCIP 14 s and HiGHS 6 s, cuts 0.8 s; of 50 scenarios HiGHS 19 s, cuts 0.7 s; of one scenario both take 1 s.
    """

    scenarios: Drawn | Given
    penalty: float  # money per unit that is not served
    limits: Limits = Limits()
    levels: Levels = Levels()
    risk: Risk = Risk()
    budget: float | None = None  # money a period for fixed costs
    radius: float | None = None  # length of the longest way that may be used, in the unit of the network
    solver: str = "auto"  # auto | extensive | benders
    worth: bool = True  # whether to say what knowing the scenarios is worth, which takes a plan for each of them

    def plan(self, facilities: Facilities) -> "Plan":
        """The best plan. Raises Infeasible, which says what conflicts, and NoPlan where a limit came before any plan."""
        return self.plan_for(facilities, self.scenarios.of(facilities))

    def plan_for(self, facilities: Facilities, scenarios: Scenarios) -> "Plan":
        """The same for scenarios at hand."""
        stages = self.stages(facilities, scenarios)
        plan = self.solve(stages)
        return plan._replace(worth=self._worth(stages, plan)) if self.worth else plan

    def stages(self, facilities: Facilities, scenarios: Scenarios) -> TwoStage:
        """The problem, without ways that are too long. Raises Infeasible where a customer has no way left."""
        within = strategic.connected(facilities, self.radius)
        return TwoStage(within, scenarios, self.levels, self.penalty, self.risk, self.budget)

    def solve(self, stages: TwoStage) -> "Plan":
        """The plan of a problem, without its worth."""
        began, name = time.perf_counter(), stages.facilities.name
        extensive = self.solver == "extensive" or self.solver == "auto" and len(stages.scenarios.demand) == 1
        try:
            if extensive:
                solved = scip(stages.extensive(), self.limits)
            else:
                solved = cuts.solve(stages.master(), stages.separate, self.limits)
        except Infeasible as error:
            raise Infeasible(f"{name}: {error}") from None
        if solved.values is None:
            sentence = f"no plan of {name} was found within limits.nodes = {self.limits.nodes}"
            raise NoPlan(f"{sentence}; every plan costs at least {solved.bound:.8g}")
        return _plan(stages, solved, time.perf_counter() - began, "extensive" if extensive else "benders")

    def _worth(self, stages: TwoStage, plan: "Plan") -> "Worth":
        """What the plan is beside others (Birge and Louveaux 2011, chapter 4), for any of these measures of risk."""
        alone = [replace(stages, scenarios=stages.scenarios.alone(number)) for number in range(len(stages.scenarios.demand))]
        knowing = [self.solve(replace(problem, risk=Risk())).solution for problem in alone]
        mean = self.solve(replace(stages, scenarios=stages.scenarios.mean, risk=Risk()))
        built = _built(mean.level, len(self.levels.capacity))
        probability = stages.scenarios.probability
        return Worth(
            stages.risk.of(np.array([solution.bound for solution in knowing]), probability),
            stages.cost(built, stages.recourse.served(built)),
        )


class Worth(NamedTuple):
    """Costs of planning with more knowledge and with less, in the plan's own measure of risk."""

    wait_and_see: float  # of the best plan of each scenario, as if it were known before anything is built (a bound, if limited)
    mean_value: float  # of the sites that are best for mean demand


class Plan(NamedTuple):
    """Sites to open and how large, and who serves whom in each scenario."""

    name: str
    level: np.ndarray  # [site] 0: closed; n: the n-th size
    share: np.ndarray  # [scenario, site, customer] of the customer's demand; what is missing is not served
    cost: np.ndarray  # [scenario] money of sites, service and penalty
    probability: np.ndarray  # [scenario]
    alpha: float  # of the CVaR that is told
    solution: Solution  # of the plan as it stands
    solver: str  # extensive | benders
    worth: Worth | None = None

    @property
    def opened(self) -> np.ndarray:
        """bool [site]"""
        return self.level > 0

    @property
    def mean(self) -> float:
        """Mean cost over scenarios."""
        return float(self.probability @ self.cost)

    @property
    def tail(self) -> float:
        """CVaR of the cost."""
        return cvar(self.cost, self.probability, self.alpha)

    def summary(self, facilities: Facilities) -> dict[str, Any]:
        """As report.json has it; vss: value of the stochastic solution, evpi: expected value of perfect information."""
        names = {site: int(level) for site, level in zip(facilities.sites, self.level) if level}
        told = self.solution.told() | {"open": list(names), "level": names, "solver": self.solver}
        told |= {"mean": self.mean, "cvar": self.tail}
        if self.worth is None:
            return told
        vss, evpi = self.worth.mean_value - self.solution.objective, self.solution.objective - self.worth.wait_and_see
        return told | {"vss": vss, "evpi": evpi} | self.worth._asdict()


def create(
    *, scenarios: Drawn | Given, penalty: float, limits: Limits = Limits(), levels: Levels = Levels(), risk: Risk = Risk(),
    budget: float | None = None, radius: float | None = None, solver: str = "auto", worth: bool = True,
) -> Stochastic:  # fmt: skip
    """Checked options. Raises ValueError where one makes no sense."""
    penalty = number("planner.penalty", penalty, low=0)
    budget = None if budget is None else number("planner.budget", budget, low=0)
    radius = None if radius is None else number("planner.radius", radius, low=0)
    choice("planner.solver", solver, ("auto", "extensive", "benders"))
    require(isinstance(worth, bool), "planner.worth", "true or false", worth)
    return Stochastic(scenarios, penalty, limits, levels, risk, budget, radius, solver, worth)


def _plan(stages: TwoStage, solved: Solution, seconds: float, solver: str) -> Plan:
    """The solver's sites, with service worked out anew, so that no rounding of the solver is left in the cost."""
    built = solved.values[: stages.room.size].reshape(stages.room.shape).round()
    served, demand = stages.recourse.served(built), stages.scenarios.demand[:, None]
    share = np.divide(served.units, demand, out=np.zeros_like(served.units), where=demand > 0)
    money = stages.cost(built, served)
    solution = solved._replace(objective=money, bound=min(solved.bound, money), seconds=seconds, values=None)
    cost = served.cost + (built * stages.running).sum()
    level = (built @ (1 + np.arange(built.shape[1]))).astype(int)
    return Plan(stages.facilities.name, level, share, cost, stages.scenarios.probability, stages.risk.alpha, solution, solver)


def _built(level: np.ndarray, levels: int) -> np.ndarray:
    """[site, level] 1 where a site has this size."""
    return (level[:, None] == 1 + np.arange(levels)).astype(float)
