"""What `dry_run=true` says of the time that runs take."""

import time

import pytest
import torch
from hydra import compose, initialize_config_dir

from vqexp.core.config import CONF, register_resolvers
from vqexp.pipeline import pace, prepare, rehearsal, run, stopwatch
from vqexp.pipeline.rehearsal import FEW, Free, Rehearsal
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

    def configs(jobs, store, small=SMALL):
        root = f"store.root={tmp_path / store}"
        with initialize_config_dir(str(CONF), version_base="1.3"):
            return [compose("config", overrides=[*small, *job, root]) for job in jobs]

    return configs


def counts(config, steady):
    """By stage what is asked for on a few images."""
    experiment = prepare(config)
    clean = experiment.dataset.load("test", FEW).pixels(slice(None))
    return {stage.kind: stage.counts for stage in Rehearsal(experiment, clean, steady=steady).stages()}


def test_a_metric_that_looks_at_the_defenses_images_is_foretold(configs):
    (config,) = configs([["metric=denoising", "metric.runs=2"]], "denoising")
    found = counts(config, steady=True)["denoising"]
    assert found["defended"] == FEW * (2 + 3)  # two draws of A(x), three of x


METRICS = {  # what each needs beside the default
    "accuracy": [],
    "certified": [],
    "denoising": [],
    "gradient_similarity": ["defense=ctrw", "adversary=held"],
    "gradients": [],
    "kl_bound": [],
    "positive_control": ["defense=randdisc"],
    "sigma": ["defense=ctrw", "adversary=held", "attack=none"],
    "smoothing": ["defense=additive_noise"],
}


def test_every_metric_is_rehearsed():
    named = {path.stem for path in (CONF / "metric").glob("*.yaml")} - {"own"}
    assert named == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_foretold(name, configs):
    (config,) = configs([[f"metric={name}", *METRICS[name]]], "metrics")
    seconds = Forecast().seconds(config)
    assert seconds is None if name == "positive_control" else seconds > 0  # it attacks f's last layer but one


def test_a_table_takes_what_was_foretold_within_a_factor_of_two(configs, cpu_time):
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
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["pace"]  # what was timed


def test_what_was_timed_is_not_timed_again(configs, monkeypatch):
    table = configs(TABLE, "store")
    forecast = Forecast()
    assert all(forecast.seconds(config) for config in table)
    monkeypatch.setattr(stopwatch, "_seconds", lambda work: pytest.fail("timed again"))
    forecast = Forecast()
    assert all(forecast.seconds(config) for config in table)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU's work is timed by the wall")
def test_what_others_had_of_a_busy_machine_is_not_counted():
    """A process that waits for its turn sleeps."""

    def work(count):
        sum(range(1000 * count))
        time.sleep(0.05 * count)

    assert stopwatch.seconds_an_image(work, 4, 0.1) < 0.02


@pytest.mark.parametrize("seconds", [1.0, 12.0])
def test_big_networks_are_timed_once_and_for_a_while_only(seconds, configs, monkeypatch, enlarged_digits):
    monkeypatch.setenv("VQEXP_DATA", str(enlarged_digits))
    now, passes = [0.0], []

    def slow(work):
        passes.append(work)
        now[0] += seconds
        return seconds

    monkeypatch.setattr(stopwatch, "_seconds", slow)
    for name in ("clock", "effort"):
        monkeypatch.setattr(stopwatch, name, lambda: now[0])
    networks = ["defense=none"], ["defense=ctrw", "adversary=held"]
    attacks = ["attack=fgsm"], ["attack=pgd"], ["attack=pgd", "attack.steps=1000"], ["attack=mifgsm"]
    small = ["classifier.depth=10", "classifier.widen_factor=1"]  # how long it takes is said above
    common = ["dataset=cifar10", "classifier=wrn34_10", *small, "training=pgd_at", "dataset.n=200"]
    table = [[*common, *network, *attack] for network in networks for attack in attacks]
    forecast = Forecast()
    found = [forecast.seconds(config) for config in configs(table, "store", small=())]
    # a pass forward and one back of each network, and of what is around it where it is judged and attacked
    assert len(passes) <= 2 * (2 + 3)
    assert len(passes) * seconds <= 20 + 2 * seconds  # two are timed together
    assert forecast.hurried == (None in found) == (seconds > 1)


def test_a_long_attack_is_rehearsed_for_a_few_steps(configs, monkeypatch):
    calls, forward = [], Free.forward
    monkeypatch.setattr(
        Free, "forward", lambda self, images, **known: calls.append(images) or forward(self, images, **known)
    )
    (config,) = configs([["attack=pgd", "attack.steps=3000", "dataset.n=32"]], "store")
    assert counts(config, True)["adversarial"]["backward"] == 3000 * 16
    assert len(calls) < 50


def test_what_a_long_autoattack_asks_for_is_told_from_short_ones(configs, monkeypatch):
    settings = ["attack=autoattack", "attack.eps=0.03", "attack.steps=30", "attack.queries=200"]
    (config,) = configs([settings], "store")
    told = counts(config, True)["adversarial"]
    monkeypatch.setattr(rehearsal, "SHORT", 10**6)
    monkeypatch.setattr(Rehearsal, "KNOWN", {})
    true = counts(config, True)["adversarial"]
    assert told == pytest.approx(true, rel=0.05)


def test_what_runs_share_is_foretold_once(configs, cpu_time, monkeypatch):
    monkeypatch.setattr(
        "vqexp.reports.sweep.forecast.clock", lambda: 0.0
    )  # of preparing a run, and of reading
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


@pytest.mark.parametrize("steady", [True, False])
@pytest.mark.parametrize(
    ("attack", "steps"),
    [
        (["attack=cw", "attack.steps=60"], 60),
        (["attack=torchattacks", "attack.name=CW", "+attack.settings.steps=60"], 60),
        (["attack=torchattacks", "attack.name=EADEN", "+attack.settings.max_iterations=60"], 9 * 60),
        (["attack=foolbox", "attack.name=L2CarliniWagnerAttack", "+attack.settings.steps=60"], 9 * 60),
    ],
)
def test_an_attack_that_stops_where_it_gets_no_better_is_foretold_to_its_end(attack, steps, steady, configs):
    (config,) = configs([["attack.norm=l2", *attack]], "store")
    experiment = prepare(config)
    black = torch.zeros(FEW, 1, 8, 8)  # pixels that tanh hardly moves
    (stage,) = (
        stage for stage in Rehearsal(experiment, black, steady=steady).stages() if stage.kind == "adversarial"
    )
    assert stage.counts["backward"] == pytest.approx(steps * FEW, rel=0.15)
    assert stage.at_most


def test_what_an_attack_that_may_stop_takes_is_told_as_the_most(configs):
    cw, pgd = configs([["attack=cw", "attack.steps=60"], ["attack=pgd"]], "store")
    forecast = Forecast()
    found = [forecast.seconds(config) and forecast.at_most for config in (cw, pgd)]
    assert found == [True, False]


ATTACKERS = sorted({path.stem for path in (CONF / "adversary").glob("*.yaml")} - {"own"})


@pytest.mark.parametrize("adversary", ATTACKERS)
def test_an_attack_that_stops_early_is_foretold_for_every_attacker(adversary, configs, monkeypatch):
    monkeypatch.setattr(pace, "LIMIT", 1e6)  # f is fast enough, however busy this machine is
    shares, resisting = [], pace.Pace.resisting
    monkeypatch.setattr(pace.Pace, "resisting", lambda *of: shares.append(resisting(*of)) or shares[-1])
    defense = "additive_noise" if adversary in ("exact", "mean") else "swrd"
    job = ["attack=boundary", "attack.steps=50", f"defense={defense}", f"adversary={adversary}"]
    training, config = configs([["attack=none"], job], "store")
    run(training)
    forecast = Forecast()
    assert forecast.seconds(config) > 0
    unseen = adversary in ("query", "transfer")  # no gradient, and a surrogate that is to come
    assert forecast.at_most == (shares[0] is None) == unseen
    assert forecast.at_most or 0 <= shares[0] <= 1


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
