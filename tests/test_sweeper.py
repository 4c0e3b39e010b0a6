"""The configs of a sweep's runs: what Hydra composes, in less time."""

from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from hydra_plugins.vqexp_sweepers import CheckedSweeper
from vqexp.core.config import CONF, register_resolvers

FILES = ["dataset=cifar10", "preset=vq/cifar10", "defense=swrd", "attack=autoattack"]


@pytest.fixture
def sweeper():
    """A sweeper of the default config that keeps the overrides of each job that Hydra composes."""
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found, loader = CheckedSweeper(), GlobalHydra.instance().config_loader()
        found.config, found.asked = compose("config", return_hydra_config=True), []
        found.composed = {}

        def load_sweep_config(config, overrides):
            found.asked.append(overrides)
            return loader.load_sweep_config(config, overrides)

        found.hydra_context = SimpleNamespace(
            config_loader=SimpleNamespace(load_sweep_config=load_sweep_config)
        )
        yield found


def same(config, other):
    """Whether both hold the same, interpolations unresolved, and refuse the same."""
    return config == other and OmegaConf.is_struct(config) == OmegaConf.is_struct(other)


def test_runs_of_the_same_files_share_what_hydra_composes(sweeper):
    jobs = [
        [*FILES, "defense.k=25", "attack.eps=8/255", "cell='a table/pRD (s=2, k=25)/pgd'"],
        [*FILES, "defense.s=3", "dataset.n=7", "attack.eps='${div:4,255}'"],
        FILES,
    ]
    found = [sweeper.compose(job) for job in jobs]
    assert sweeper.asked == [FILES]
    assert all(same(config, sweeper._by_hydra(job)) for config, job in zip(found, jobs, strict=True))


@pytest.mark.parametrize(
    "more",
    [
        ["defense.k=25", "defense={k:30}"],
        ["defense.k=25", "++defense.k=30"],
        ["+metrics.x.y=1", "metrics.x.y=2"],
        ["~training.augment", "+training.augment=false"],
        ["metric.radii=[0.1,0.2]", "metric=smoothing", "defense.k=9"],
        ["+training@adversary.training=pgd_at", "seed=3", "precision=bfloat16"],
    ],
)
def test_an_order_that_matters_is_kept(sweeper, more):
    sweeper.compose(FILES)
    assert same(sweeper.compose([*FILES, *more]), sweeper._by_hydra([*FILES, *more]))


def test_a_wrong_setting_is_refused_in_hydras_words(sweeper):
    with pytest.raises(ConfigCompositionException, match=r"Could not override 'defense.kk'"):
        sweeper.compose([*FILES, "defense.kk=3"])
