"""What a search is asked for: the arguments of `invbench search`, checked, and what makes one search another."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from invbench import configs, jobs, run
from invbench.checks import choice, number, require, whole
from invbench.jobs import Refused
from invbench.search import judging
from invbench.search import space as spaces
from invbench.search.space import Space

SAMPLERS = "tpe", "nsgaii", "random", "grid"
LATER = "trials", "weights", "attempts"  # settings that may change between two calls of one search
IDENTITY = "search.json"
USAGE = "usage: invbench search +space=NAME [search.trials=N …] [GROUP=CHOICE …] [FIELD=VALUE …]"
NOT_HERE = "-m", "--multirun", "sweep", "study"


@dataclass(frozen=True)
class Request:
    """A search: of what, how, on what, and where."""

    space: Space
    settings: dict[str, Any]
    base: tuple[str, ...]  # overrides that every trial has
    plain: dict[str, Any]  # the config that they make, resolved
    choices: dict[str, str]  # of every group, in it
    outputs: Path
    name: str
    command: str

    @property
    def folder(self) -> Path:
        return jobs.inside(self.outputs, self.name)

    @property
    def first(self) -> dict[str, Any] | None:
        """Values of the parameters as the config has them, where the space allows them and the first trial is to have them."""
        if not self.settings["defaults_first"]:
            return None
        return self.present()

    def present(self) -> dict[str, Any] | None:
        """Values of the parameters as the config has them; None where one is not in the space."""
        found = {}
        for one in self.space.parameters:
            value = self.choices[one.name] if one.name in self.choices else _select(self.plain, one.name)
            if one.when is not None and found.get(one.when[0]) != one.when[1]:
                value = one.choices[0] if one.choices else one.low  # not used
            if not one.allows(value):
                return None
            found[one.name] = _as_searched(one, value)
        return found

    def config(self, values: dict[str, Any], name: str | None = None) -> Any:
        """The config of a job with these values of the parameters."""
        config, _ = configs.compose([*self.base, *self.space.overridden(values)])
        OmegaConf.update(config, "outputs", str(self.outputs))
        OmegaConf.update(config, "name", name)
        return config

    def check_same(self) -> None:
        """Refuse a folder that holds another search; else remember what this one is."""
        path, now = self.folder / IDENTITY, self.identity()
        before = jobs.read_json(path)
        if before is not None and before != now:
            raise Refused(
                f"{self.folder.name} holds another search; give another name=, or delete it. What changed:\n"
                + jobs.diff(before, now)
            )
        jobs.write_json(path, now)

    def identity(self) -> dict[str, Any]:
        """What makes it this search and no other."""
        settings = {name: value for name, value in self.settings.items() if name not in LATER}
        parameters = [
            asdict(one) | {"choices": list(one.choices), "when": one.when and list(one.when)} for one in self.space.parameters
        ]
        config = jobs.content(self.plain)
        return {"parameters": parameters, "search": settings, "config": config, "files": run._files(self.plain)}


def _as_searched(one: spaces.Parameter, value: Any) -> Any:
    """A value of the config as the search has it."""
    return spaces.text(value) if one.choices else int(value) if one.is_whole else float(value)


def _select(plain: dict[str, Any], name: str) -> Any:
    """What is at a dotted name; None where nothing is."""
    for part in name.split("."):
        plain = plain.get(part) if isinstance(plain, dict) else None
    return plain


def parsed(arguments: Sequence[str], command: str) -> Request:
    """The search that the arguments of `invbench search` ask for. Raises Refused, in one sentence."""
    chosen = [text.partition("=")[2].strip("'\"") for text in arguments if _key(text) == "space"]
    if len(chosen) != 1 or not chosen[0]:
        raise Refused(f"{USAGE}; the spaces are {', '.join(configs.groups()['space'])}")
    if odd := [text for text in arguments if _key(text) in NOT_HERE]:
        raise Refused(f"{odd[0]} cannot be given to search")
    space = spaces.load(chosen[0])
    own = [text for text in arguments if _key(text).split(".")[0] == "search"]
    rest = [text for text in arguments if text not in own and _key(text) != "space"]
    return made(space, settings_of(space, own), rest, command, digest=[*own, *rest])


def made(space: Space, settings: dict[str, Any], rest: Sequence[str], command: str, digest: Sequence[str]) -> Request:
    """A request of its parts. rest: overrides of the jobs, `name` and `outputs` among them."""
    given = {_key(text): text.partition("=")[2].strip("'\"") for text in rest}
    if given.get("method", space.method) != space.method:
        raise Refused(f"method must be {space.method} with +space={space.name}, got {given['method']!r}")
    what = sorted(text for text in digest if not jobs.elsewhere(text) and _key(text) not in [f"search.{name}" for name in LATER])
    name = given.get("name") or f"search-{jobs.slug(space.name)}-{jobs.digest([space.name, what])}"
    kept = [text for text in rest if _key(text) not in ("name", "outputs", "method")]
    leading = [text for text in space.overrides if _key(text) not in given]
    base = (f"method={space.method}", *leading, *kept)
    space = space.without([one.name for one in space.parameters if one.name in given])
    plain, choices = _composed(base)
    if plain["study"] is not None:
        raise Refused("an experiment that is a study cannot be searched")
    request = Request(space, settings, base, plain, choices, Path(given.get("outputs") or "outputs").absolute(), name, command)
    _check_parameters(request)
    return request


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]


def _composed(overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The resolved config of overrides and its choices. Raises Refused where they do not make one."""
    try:
        config, choices = configs.compose(overrides)
        return run.resolve(config), choices
    except Refused:
        raise
    except Exception as error:
        cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
        raise Refused(run.sentence(cause).splitlines()[0]) from error


def _check_parameters(request: Request) -> None:
    """Refuse a space with a parameter that the config does not have, or with a choice of a group that there is not."""
    space = request.space
    usual = {one.name: one.choices[0] if one.choices else one.low for one in space.parameters}
    groups = [one for one in space.parameters if one.name in request.choices]
    switched = [(one.name, value) for one in groups for value in one.choices]
    switched += [one.when for one in space.parameters if one.when is not None]
    tried = {tuple(space.overridden(usual | changed)) for changed in ({}, *(dict([switch]) for switch in switched))}
    for overrides in sorted(tried):
        try:
            _composed([*request.base, *overrides])
        except Refused as error:
            raise Refused(f"space {space.name} does not fit: {error}") from error


def settings_of(space: Space, given: Sequence[str]) -> dict[str, Any]:
    """The block `search`: the usual settings, what the space says, what the command line says; checked."""
    try:
        settings = OmegaConf.load(configs.spaces().parent / "search" / "settings.yaml")
        OmegaConf.set_struct(settings, True)
        settings = OmegaConf.merge(settings, space.settings, _dotlist(given))
        return _checked(OmegaConf.to_container(settings), space)
    except Refused:
        raise
    except OmegaConfBaseException as error:
        raise Refused(f"search: {run.sentence(error)}") from error
    except ValueError as error:
        raise Refused(str(error)) from error


def _dotlist(given: Sequence[str]) -> Any:
    return OmegaConf.from_dotlist([text.lstrip("+").removeprefix("search.") for text in given])


def _checked(settings: dict[str, Any], space: Space) -> dict[str, Any]:
    """Every setting checked. Raises ValueError."""
    choice("search.sampler", settings["sampler"], SAMPLERS)
    grid = settings["sampler"] == "grid"
    if not (grid and settings["trials"] is None):
        whole("search.trials", settings["trials"], low=1)
    for name, low in (("seed", 0), ("batch", 1), ("startup", 2), ("grid", 2), ("attempts", 1)):
        whole(f"search.{name}", settings[name], low=low)
    require(isinstance(settings["defaults_first"], bool), "search.defaults_first", "true or false", settings["defaults_first"])
    goals = settings["objectives"]
    known = isinstance(goals, list) and goals and all(goal in judging.DIRECTIONS for goal in goals)
    rule = f"a list of {', '.join(judging.DIRECTIONS)}"
    require(bool(known) and len(set(goals)) == len(goals), "search.objectives", rule, goals)
    if settings["weights"] is not None:
        listed = isinstance(settings["weights"], list) and len(settings["weights"]) == len(goals)
        require(listed, "search.weights", f"{len(goals)} numbers, one for each objective", settings["weights"])
        settings["weights"] = [number("search.weights", weight, low=0) for weight in settings["weights"]]
    return settings | {"defaults_first": settings["defaults_first"] and not grid}
