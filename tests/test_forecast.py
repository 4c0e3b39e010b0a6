"""What `dry_run=true` says of the time that runs take."""

import time
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir

from vqexp.core.config import CONF, register_resolvers
from vqexp.pipeline import pace, prepare, run
from vqexp.pipeline.rehearsal import FEW, Rehearsal
from vqexp.reports.sweep.forecast import Forecast, duration

SMALL = ["scale=smoke", "classifier.width=4", "training.epochs=2"]
# what a smoke table has: no attack, attacks that know the defense and that do not, several draws
TABLE = [
    ["defense=swrd", "attack=none"],
    ["defense=swrd", "attack=pgd"],
    ["defense=prd", "attack=pgd"],
    ["defense=prd", "attack=autoattack"],
    ["defense=swrd", "attack=pgd", "adversary=eot", "attack.steps=20", "dataset.n=64"],
]


@pytest.fixture
def configs(tmp_path):
    """Makes the configs of runs on a store of its own."""
    register_resolvers()

    def configs(jobs, store):
        root = f"store.root={tmp_path / store}"
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return [compose("config", overrides=[*SMALL, *job, root]) for job in jobs]

    return configs


def counts(config, steady):
    """By stage what is asked for on a few images."""
    experiment = prepare(config)
    clean = experiment.dataset.load("test", FEW).pixels(slice(None))
    return {stage.kind: stage.counts for stage in Rehearsal(experiment, clean, steady=steady).stages()}


def test_a_table_takes_what_was_foretold_within_a_factor_of_two(configs, monkeypatch):
    # CPU time of one thread, because other tests run beside this one
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=time.process_time))
    ratios = []
    for trial in range(3):
        forecast, table = Forecast(), configs(TABLE, f"trial{trial}")
        foretold = sum(forecast.seconds(config) for config in table)
        start = time.process_time()
        for config in table:
            run(config)
        ratios.append(foretold / (time.process_time() - start))
        if 1 / 2 < ratios[-1] < 2:
            return
    raise AssertionError(ratios)


def test_nothing_is_trained_or_stored_to_foretell(configs, tmp_path):
    forecast = Forecast()
    for more in ([], ["adversary=ste"], ["adversary=transfer"], ["adversary=eot", "attack.keep=2"]):
        (config,) = configs([["defense=swrd", "attack=pgd", "training.epochs=100000", *more]], "store")
        assert forecast.seconds(config) > 0
    assert not (tmp_path / "store").exists()


def test_what_runs_share_is_foretold_once(configs):
    forecast = Forecast()
    alone, again, other = (
        forecast.seconds(config)
        for config in configs([TABLE[1], TABLE[1], ["defense=prd", "attack=pgd"]], "store")
    )
    assert again < other < alone  # nothing is left to do; f and its adversarial images are there


def test_an_attack_asks_for_its_steps_and_for_the_draws_of_each(configs):
    (pgd, eot) = configs([["attack=pgd", "attack.steps=7", "dataset.n=32"], TABLE[-1]], "store")
    found = counts(pgd, True)["adversarial"]
    batch = 16  # a smaller one is filled up
    assert found["backward"] == 7 * batch
    assert (
        found["forward"] == 7 * batch + batch
    )  # the steps, and the end point, which tells whether it fools f
    assert counts(eot, True)["adversarial"]["backward"] == 20 * batch * eot.adversary.samples


def test_an_attack_that_stops_early_asks_for_less_where_it_succeeds(configs):
    (config,) = configs([["attack=autoattack", "attack.queries=60", "attack.eps=0.03"]], "store")
    fails, succeeds = (counts(config, steady)["adversarial"]["forward"] for steady in (True, False))
    assert fails > 60 * FEW > succeeds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (42.4, "42 s"), (100, "1.7 min"), (3000, "50 min"), (9000, "2.5 h"), (1e6, "12 d")],
)
def test_times_have_two_digits(seconds, text):
    assert duration(seconds) == text
