"""Every bad setting is refused in one line before work starts; nothing is written, and no code of it runs."""

import io
from contextlib import redirect_stderr
from datetime import timedelta

import pytest
from generated import configurations, configured
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from trial import tried

from vqexp.core.config import CONFIG_FAULTS, config_message
from vqexp.core.errors import ConfigError
from vqexp.core.kinds import check_kind, check_made, kinds_of, label, part_kinds
from vqexp.pipeline import prepare

COMMANDS = {
    "defense=null": "defense=null is no choice; choose one of ",
    "attack=5": "attack=5 is no choice; choose one of ",
    "~attack": "attack is None; it must be one of the group's choices",
    "-m table=null": "table=null is no choice; choose one of ",
    "metric=[]": "metric is None",
    "store.root=5": "store.root is 5; name a writable folder",
    "store.root=nowhere://bucket": "store.root=nowhere://bucket is no folder, nor storage that fsspec knows",
    "~store.root": "store.root is empty; name a writable folder",
    "+nope=1": "nope is no setting; there is adversary, attack",
    "classifier.checkpoint=5": "classifier.checkpoint is 5; it must be a path, or null",
    "defense._target_=vqexp": "defense._target_=vqexp is a module",
    "defense._target_=a..b": "cannot be imported",
    "attack=../defense/swrd": "attack",
    "--nope": "unrecognized arguments: --nope",
    "=5": "",
    "defense=swüRD": "a value with other than plain letters needs quotes",
    "hydra.run.dir=null": "hydra.run.dir=null: field 'hydra.run.dir' is not Optional",
    "-m hydra.sweeper.max_batch_size=0": "vqexp: hydra.sweeper.max_batch_size is 0; it must be an integer",
    f"classifier.checkpoint={'x' * 300}": "File name too long",
    f"cell={'x' * 5000}": "File name too long",
    "hydra.run.dir=/proc/nope": "/proc/nope",
    "-m hydra.sweep.dir=/proc/nope": "hydra.sweep.dir=/proc/nope cannot be written",
    "-m hydra.sweeper.params=5": "hydra.sweeper.params is 5; it must be a mapping",
    "-m seed=range(1000000000)": "the sweep has more than 10,000 runs",
    "-m seed=range(200) defense.k=range(200)": "the sweep has more than 10,000 runs",
    "-m seed=range(0)": "seed=range(0) has no value",
    "-m seed=range(0,1,0)": "range() arg 3 must not be zero",
}
PREPARED = {
    "classifier.width": [(2.5, "an integer >= 1 and <= 4096"), (10**9, "an integer >= 1 and <= 4096")],
    "classifier.shape": [([3, 8, 8], "fails on an image of shape (1, 8, 8)")],
    "classifier.mean": [([1, 2, 3], "classifier.mean has 3 values")],
    "dataset.num_classes": [(4, "num_classes is 4; it must be 10")],
    "dataset.name": [(name, "at most 100 letters") for name in ("../../x", None, "a/b", "x" * 101)],
    "dataset.shape": [([True, 8, 8], "three whole numbers")],
    "attack.restarts": [(10**6, "<= 1000")],
    "seed": [(None, "seed is None; it must be an integer"), (True, "seed is True")],
    "attack.eps": [("x", "'x' is no number")],
    "metrics": [({"a": 1}, "metrics.a is 1")],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_command_is_one_line(command, tmp_path):
    found = tried(command.split(), tmp_path)
    assert (found.status, found.fault, found.out) == (2, "", "")
    assert COMMANDS[command] in found.err
    assert len(found.err) < 1000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", PREPARED)
def test_a_setting_that_would_fail_later_is_refused_in_preparation(name):
    for value, said in PREPARED[name]:
        with pytest.raises(CONFIG_FAULTS) as caught:
            prepare(configured((), {name: value}), check_store=False)
        assert said in config_message(caught.value)


@hypothesis_settings(
    max_examples=500,
    deadline=timedelta(seconds=60),
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
    database=None,
)
@given(made=configurations())
def test_configurations_that_nobody_means_end_in_one_line(made, tmp_path_factory):
    with redirect_stderr(io.StringIO()), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        patch.setattr("vqexp.pipeline.check.check_compiles", lambda device: None)  # which takes a minute
        try:
            prepare(configured(*made), check_store=False)
        except CONFIG_FAULTS as refused:
            error = refused
        else:
            return
    assert "\n" not in config_message(error)


OWN = """
import pathlib
import torch

def runs(path="ran"):
    pathlib.Path(path).write_text("it ran")
    return 5

def says(path="ran") -> int:
    return runs(path)

def small(strength=1.0) -> torch.nn.Module:
    return torch.nn.Identity()

class Fewer(torch.nn.Module):
    def forward(self, images):
        return images[:, :, :4]

class Fails(torch.nn.Module):
    def forward(self, images):
        return images.nope
"""
GROUPS = ("dataset", "classifier", "training", "defense", "adversary", "attack", "metric", "logger")


@pytest.mark.parametrize("group", [*GROUPS, "training.objective"])
def test_a_target_of_another_kind_is_not_called(group, tmp_path, monkeypatch):
    (tmp_path / "mine_of_faults.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    others = (
        "os.system",
        "sys.exit",
        "builtins.dict",
        "subprocess.Popen",
        "mine_of_faults.says",
        "torch.load",
    )
    for target in others:
        changes = {f"{group}._target_": target}
        with pytest.raises(
            ConfigError, match=rf"{group}(\.source)?\._target_={target} is no (torch|vqexp)\."
        ):
            prepare(configured((), changes), check_store=False)
    assert not (tmp_path / "ran").exists()


def test_a_defense_of_the_users_own_is_tried_before_work_starts(tmp_path, monkeypatch):
    (tmp_path / "mine_of_faults.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, said in {
        "Fewer": "turns images of shape (2, 1, 8, 8) into (2, 1, 4, 8)",
        "Fails": "fails on images of shape (2, 1, 8, 8): AttributeError",
        "runs": "gives a int; it must be a torch.nn.Module",
    }.items():
        with pytest.raises(ConfigError) as caught:
            prepare(configured((), {"defense": {"_target_": f"mine_of_faults.{name}"}}), check_store=False)
        assert said in str(caught.value)
    prepare(configured((), {"defense": {"_target_": "mine_of_faults.small"}}), check_store=False)


def test_kinds_are_read_from_annotations():
    import torch

    class Takes:
        def __init__(self, a: int | None, b: str | torch.nn.Module, c=None, d: list[int] | None = None):
            """Nothing."""

    assert [part_kinds(Takes, name) for name in "abcd"] == [(int,), (str, torch.nn.Module), (), (list,)]
    assert kinds_of(int | object) == ()
    assert label(torch.nn.Module) == "torch.nn.Module"
    check_kind("it", torch.nn.ReLU, (torch.nn.Module,))
    check_kind("it", lambda: 3, (torch.nn.Module,))  # the user's own, of which nothing is known
    with pytest.raises(ConfigError, match=r"it\._target_ gives a list; it must be a torch\.nn\.Module"):
        check_made("it", [], torch.nn.Module)
