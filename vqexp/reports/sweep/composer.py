"""Composing the configs of an audit's rows quickly: Hydra would take half a second for each."""

from collections.abc import Callable, Sequence

from hydra import compose
from omegaconf import DictConfig, OmegaConf

from vqexp.reports.spec.rows import with_settings
from vqexp.reports.spec.settings import from_overrides, group_of


def composer(base: DictConfig, shared: Sequence[str]) -> Callable[[list[str]], DictConfig]:
    """Returns what makes the config of a job: the row's own overrides on `base`, which has all `shared` ones.

    Those of them that set a value of what a row chooses anew, such as its attack, come after the row's.
    """
    plain = OmegaConf.to_container(base)
    assert isinstance(plain, dict)
    known = {str(name): value for name, value in plain.items() if name != "table"} | {"table": None}

    def composed(job: list[str]) -> DictConfig:
        own = from_overrides(text for text in job if text not in shared)
        if any("@" in name or "+" in name for name in own):  # of a surrogate: Hydra's own syntax
            return compose("config", overrides=job)
        chosen = {name for name in own if "." not in name}
        again = from_overrides(text for text in shared if "." in text and group_of(text) in chosen)
        return with_settings(known, {**own, **again})

    return composed
