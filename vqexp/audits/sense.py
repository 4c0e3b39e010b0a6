"""Which rows of an audit make sense for a defense: each row's attacker and attack are asked."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from vqexp.adversaries import Adversary
from vqexp.attacks import Attack
from vqexp.audits.members import Audit
from vqexp.core.components import build
from vqexp.core.config import CONF, register_resolvers, resolved
from vqexp.core.errors import ConfigError, SenselessError
from vqexp.defenses import Defense, adapted
from vqexp.reports.spec.choices import read_settings
from vqexp.reports.spec.table import Cell


def senseless(audit: Audit, defense: Mapping[str, Any], num_classes: int) -> dict[str, str]:
    """label -> reason, for the rows of which no adversary makes sense; defense: its settings.

    Nothing where the defense cannot be built here, as one of a package that is not installed.
    """
    try:
        built = adapted(build("defense", defense))
    except ConfigError:
        return {}
    reasons = {
        choices[0].row: [_reason(cell, built, num_classes) for cell in choices] for choices in audit.choices()
    }
    return {label: each[0] for label, each in reasons.items() if each[0] and all(each)}


def _reason(cell: Cell, defense: Defense, num_classes: int) -> str:
    """Why the cell makes no sense for the defense; nothing if it does."""
    names = ("adversary=", "adversary.", "attack=")
    adversary, attack = _attacker(tuple(text for text in cell.settings if text.startswith(names)))
    try:
        adversary.check(defense)
        attack.check(adversary, defense, num_classes)
    except SenselessError as error:
        return str(error)
    return ""


@cache
def _attacker(overrides: tuple[str, ...]) -> tuple[Adversary, Attack]:
    """The adversary and the attack that the overrides choose, put into the default config.

    Composing one for each would take Hydra seconds.
    """
    told = dict(text.split("=", 1) for text in overrides)
    paths = {name: CONF / name / f"{choice}.yaml" for name, choice in told.items() if "." not in name}
    chosen = {name: read_settings(path) for name, path in paths.items()}
    config = OmegaConf.create({**_default(), **chosen})
    config.merge_with_dotlist([text for text in overrides if text.split("=")[0] not in chosen])
    plain = resolved(config)
    return build("adversary", plain["adversary"]), build("attack", plain["attack"])


@cache
def _default() -> dict[str, Any]:
    """The default config, its interpolations as they are."""
    register_resolvers()
    if GlobalHydra.instance().is_initialized():  # within a sweep
        config = compose("config")
    else:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config")
    plain = OmegaConf.to_container(config)
    assert isinstance(plain, dict)
    return {str(name): value for name, value in plain.items()}
