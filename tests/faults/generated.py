"""Configurations with settings that nobody means, made from the constructors' own signatures."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from vqexp.core.components import own_choices, parameters, target_of
from vqexp.core.config import CONF, register_resolvers

# one of each kind of component; what needs files or the network is refused before its settings count
BASES = (
    (),
    ("defense=prd", "adversary=eot", "attack=autoattack", "classifier=small_resnet"),
    ("defense=randdisc", "adversary=ste", "attack=square", "metric=gradients"),
    ("defense=additive_noise", "attack=none", "metric=smoothing", "training=stability"),
    ("defense=ctrw", "adversary=held", "training=ctrw", "classifier=resnet18", "metric=sigma"),
    ("defense=jpeg", "adversary=transfer", "attack=mifgsm", "training=pgd_at"),
    ("defense=resize_pad", "adversary=soft", "attack=pgd_targeted", "training=trades"),
    ("defense=bit_depth", "adversary=query", "attack=boundary", "training=mart"),
    ("defense=median", "adversary=exact", "attack=cw", "metric=positive_control", "training=fast"),
    ("defense=swrd", "attack=deepfool", "metric=kl_bound", "logger=csv"),
    ("defense=swrd", "attack=fgsm", "metric=denoising", "training=one_cycle", "logger=wandb"),
    (
        *("defense=swrd", "attack=noise", "metric=certified", "preset=arxiv/mnist"),
        *("classifier=wrn28_10", "classifier.depth=10", "classifier.widen_factor=1"),
    ),
)
ONES_OWN = ("seed", "device", "precision", "cell", "metrics", "store.root", "dry_run", "shard")
NOT_MEANT: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2, 0.5, -0.5, 1e-300, 1e300, 10**9, 10**30, math.nan, math.inf, -math.inf),
    *(
        "",
        "x",
        " ",
        "8/255",
        "1/0",
        "none",
        "auto",
        "../../x",
        "/proc/self/mem",
        "/",
        "a\nb",
        "<b>|`*",
        "é" * 300,
    ),
    *([], [1], [[]], ["x"], [None], [1, 2, 3], [0, 8, 8], {}, {"a": 1}),
    *({"_target_": target} for target in ("os.getcwd", "sys.exit", "builtins.dict", "a..b", "vqexp", "", 5)),
    {"_target_": "vqexp.attacks.PGD", "steps": 1, "step_size": 0.1, "eps": 0.1},
)


@cache
def base(choices: tuple[str, ...]) -> DictConfig:
    """The config of a run with these choices, at the smallest scale."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=own_choices(["scale=smoke", *choices]))


@cache
def settings(choices: tuple[str, ...]) -> list[str]:
    """Every setting that the chosen components take, whether it is set or not, and the run's own."""
    return sorted({*ONES_OWN, *_of(base(choices))})


def _of(config: DictConfig, above: str = "") -> Iterator[str]:
    for name in config:
        node = None if OmegaConf.is_missing(config, name) else OmegaConf.select(config, str(name))
        if isinstance(node, DictConfig) and "_target_" in node:
            yield f"{above}{name}._target_"
            known = parameters(target_of(str(name), node)) or {}
            yield from (f"{above}{name}.{parameter}" for parameter in (*known, *node))
            yield from _of(node, f"{above}{name}.")
        elif not above:
            yield str(name)


@st.composite
def configurations(draw: st.DrawFn) -> tuple[tuple[str, ...], dict[str, Any]]:
    """(choices, what is set besides)."""
    choices = draw(st.sampled_from(BASES))
    names = draw(st.lists(st.sampled_from(settings(choices)), min_size=1, max_size=3, unique=True))
    return choices, {name: draw(st.sampled_from(NOT_MEANT)) for name in names}


def configured(choices: tuple[str, ...], changes: dict[str, Any]) -> DictConfig:
    """The config with the changes, as `++name=value` makes them."""
    config = base(choices).copy()
    OmegaConf.set_struct(config, False)
    for name, value in changes.items():
        if any(name.startswith(f"{other}.") for other in changes):
            continue  # what it is a part of is replaced
        OmegaConf.update(config, name, value, merge=False, force_add=True)
    return config
