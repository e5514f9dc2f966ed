"""Where the configs are, in a checkout and in a wheel; experiments and sweeps become Hydra groups here."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf, open_dict

DELTAS = {"experiment": "experiments", "sweep": "sweeps"}  # group: folder beside conf/


def home() -> Path:
    """The folder conf/: beside the package in a checkout, inside it where installed."""
    package = Path(__file__).parent
    return package.parent / "conf" if (package.parent / "conf" / "config.yaml").exists() else package / "conf"


def location() -> str:
    """The config path as Hydra wants it."""
    return str(home()) if home().parent != Path(__file__).parent else "pkg://invbench.conf"


def deltas(group: str) -> Path:
    """The folder of experiments or sweeps."""
    return home().parent / DELTAS[group]


def spaces() -> Path:
    """The folder of the search spaces."""
    return deltas("sweep") / "space"


def register() -> None:
    """Make the groups `experiment` and `sweep` known to Hydra: each YAML is a delta to the whole config."""
    ConfigStore.__deepcopy__ = lambda self, memo: self  # Hydra copies its sources to compose; of the store there is only one
    for group in DELTAS:
        for path in sorted(deltas(group).glob("*.yaml")):
            register_delta(group, path.stem, OmegaConf.load(path))


def register_delta(group: str, name: str, node: Any) -> None:
    """Make a delta to the whole config known to Hydra as group=name."""
    ConfigStore.instance().store(group=group, name=name, node=node, package="_global_")


def groups() -> dict[str, list[str]]:
    """Every config group with its choices."""
    folders = {path.name: path for path in sorted(home().iterdir()) if path.is_dir() and not path.name.startswith("_")}
    folders |= {group: deltas(group) for group in DELTAS} | {"space": spaces()}
    return {name: sorted(path.stem for path in folder.glob("*.yaml")) for name, folder in folders.items()}


def compose(overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """The config of a job for these overrides, as a command with them would have it, resolved; and the choice of every group."""
    import hydra
    from hydra.core.hydra_config import HydraConfig

    with _composing():
        config = hydra.compose("config", list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # the names of what was chosen are read from it
        chosen = OmegaConf.to_container(config.hydra.runtime.choices)
        with open_dict(config):
            del config["hydra"]
        OmegaConf.resolve(config)
        return config, chosen


@contextmanager
def _composing() -> Iterator[None]:
    """Composition, alone or beside the run under way, whose settings come back afterwards."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    before, where = HydraConfig.instance().cfg, location()
    start = hydra.initialize_config_module if where.startswith("pkg://") else hydra.initialize_config_dir
    with ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():
            register()
            stack.enter_context(start(where.removeprefix("pkg://"), version_base="1.3"))
        stack.callback(setattr, HydraConfig.instance(), "cfg", before)
        yield
