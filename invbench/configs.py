"""Where the configs are, in a checkout and in a wheel; experiments and sweeps become Hydra groups here."""

from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

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


def register() -> None:
    """Make the groups `experiment` and `sweep` known to Hydra: each YAML is a delta to the whole config."""
    store = ConfigStore.instance()
    for group in DELTAS:
        for path in sorted(deltas(group).glob("*.yaml")):
            store.store(group=group, name=path.stem, node=OmegaConf.load(path), package="_global_")


def groups() -> dict[str, list[str]]:
    """Every config group with its choices."""
    folders = {path.name: path for path in sorted(home().iterdir()) if path.is_dir() and not path.name.startswith("_")}
    folders |= {group: deltas(group) for group in DELTAS}
    return {name: sorted(path.stem for path in folder.glob("*.yaml")) for name, folder in folders.items()}
