"""Settings of a cell put on top of a config that is composed already; Hydra would take seconds for each."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from vqexp.core.config import CONF
from vqexp.reports.spec.choices import read_settings


def with_settings(base: Mapping[str, Any], settings: Mapping[str, Any]) -> DictConfig:
    """Returns `base`, unresolved plain data, with these settings: first the choices, then the values.

    Only for choices that choose nothing of other groups, as those of an audit's rows do.
    """
    paths = {
        name: CONF / name / f"{choice}.yaml" for name, choice in settings.items() if (CONF / name).is_dir()
    }
    chosen = {name: read_settings(path) for name, path in paths.items()}
    config = OmegaConf.create({**base, **chosen})
    for name, value in settings.items():
        if name not in chosen:
            OmegaConf.update(config, name, value)
    return config
