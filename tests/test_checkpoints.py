"""Checkpoint files as people have them: prefixes, containers, counters, and what is refused."""

import argparse
import os
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from vqexp.classifiers import Normalized, load_checkpoint, resnet18, save_checkpoint, small_cnn
from vqexp.core.errors import ConfigError, WorkError

MEAN, STD = [0.4914, 0.4822, 0.4465], [0.2471, 0.2435, 0.2616]


class Normalize(nn.Module):
    """An input normalization with buffers, as in many repositories."""

    def __init__(self, mean="mean", std="std"):
        super().__init__()
        self.register_buffer(mean, torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer(std, torch.tensor(STD).view(3, 1, 1))


def network(channels=1) -> nn.Module:
    return small_cnn((channels, 8, 8), 10, width=4)


@pytest.fixture
def classifier() -> nn.Module:
    return network()


def loads(state, expected, path, capsys) -> str:
    """Save `state`, load it twice into a network like `expected`: what was said, once."""
    torch.save(state, path)
    other = network(expected[0][0].in_channels)
    capsys.readouterr()
    for _ in range(2):
        load_checkpoint(other, path)
    for name, value in expected.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
    err = capsys.readouterr().err
    assert err.count("\n") <= 1
    assert not err or err.startswith(f"note: {path}: ")
    return err


def refused(classifier: nn.Module, path: Path, reason: str) -> str:
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    with pytest.raises(ConfigError, match=reason) as caught:
        load_checkpoint(classifier, path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, before[name])
    return str(caught.value)


def test_round_trip(classifier, tmp_path, capsys):
    classifier[0][1].running_mean.uniform_()
    save_checkpoint(classifier.to(memory_format=torch.channels_last), tmp_path / "new" / "a.safetensors")
    assert os.listdir(tmp_path / "new") == ["a.safetensors"]
    other = Normalized(network(), mean=0.5)
    load_checkpoint(other, tmp_path / "new" / "a.safetensors")
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name])
    save_checkpoint(other, tmp_path / "b.safetensors")
    assert load_file(tmp_path / "b.safetensors").keys() == classifier.state_dict().keys()
    assert capsys.readouterr().err == ""


def test_a_file_that_cannot_be_written(classifier, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WorkError, match="cannot be written"):
        save_checkpoint(classifier, tmp_path / "file" / "a.safetensors")


def test_half_precision(classifier, tmp_path):
    torch.save(classifier.half().state_dict(), tmp_path / "a.pt")
    other = network()
    load_checkpoint(other, tmp_path / "a.pt")
    assert all(parameter.dtype == torch.float32 for parameter in other.parameters())
    assert torch.equal(other[0][0].weight, classifier[0][0].weight.float())


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "_orig_mod.",
        "model.",
        "net.",
        "network.",
        "0.",
        "1.",
        "module.model.",
        "_orig_mod.module.1.",
    ],
)
def test_prefixes_are_stripped(classifier, tmp_path, capsys, prefix):
    state = {f"{prefix}{name}": value for name, value in classifier.state_dict().items()}
    said = loads(state, classifier, tmp_path / "a.pt", capsys)
    assert f"stripped {prefix} from the names" in said
    assert ("what stood before the network" in said) == prefix.endswith("1.")


def test_the_wrappers_themselves(classifier, tmp_path, capsys):
    wrapped = {
        "module.": nn.DataParallel(classifier),
        "_orig_mod.": torch.compile(classifier),
        "1.": nn.Sequential(nn.Identity(), classifier),
        "module._orig_mod.": nn.DataParallel(torch.compile(classifier)),
        "network.": Normalized(classifier, mean=0.5),
    }
    for i, (prefix, module) in enumerate(wrapped.items()):
        said = loads(module.state_dict(), classifier, tmp_path / f"{i}.pt", capsys)
        assert f"stripped {prefix} from" in said
    said = loads(AveragedModel(classifier).state_dict(), classifier, tmp_path / "swa.pt", capsys)
    assert "stripped module. from the names; left out n_averaged" in said


def test_a_prefix_is_stripped_from_all_names_or_none(classifier, tmp_path):
    """Two networks, and one of which only a part has the prefix."""
    state = classifier.state_dict()
    both = {f"{i}.{name}": value for i in (0, 1) for name, value in state.items()}
    torch.save(both, tmp_path / "a.pt")
    refused(
        classifier, tmp_path / "a.pt", r"has 1\.0\.0\.weight \(and .* more\), which the classifier does not"
    )
    names = list(state)
    torch.save(
        {f"module.{name}" if name != names[-1] else name: value for name, value in state.items()},
        tmp_path / "b.pt",
    )
    refused(classifier, tmp_path / "b.pt", f"lacks {names[-1]}, of shape .*, has {names[-1]}, which")
    torch.save({**state, **{f"module.{name}": value + 1 for name, value in state.items()}}, tmp_path / "c.pt")
    refused(classifier, tmp_path / "c.pt", "which the classifier does not")


@pytest.mark.parametrize(
    "container", ["state_dict", "model", "net", "model_state_dict", "ema", "state_dict_ema", "ema.state_dict"]
)
def test_containers_are_opened(classifier, tmp_path, capsys, container):
    state = classifier.state_dict()
    for name in reversed(container.split(".")):
        state = {name: state}
    optimizer = torch.optim.SGD(classifier.parameters(), lr=0.1, momentum=0.9)
    state |= {"epoch": 3, "acc": 95.1, "optimizer": optimizer.state_dict()}
    said = loads(state, classifier, tmp_path / "a.pt", capsys)
    assert said.endswith(f": took {container}; left out epoch, acc, optimizer\n")


def test_of_several_sets_the_one_that_fits_is_taken(classifier, tmp_path, capsys):
    state, other = classifier.state_dict(), network(3).state_dict()
    said = loads({"model": other, "net": state}, classifier, tmp_path / "a.pt", capsys)
    assert "took net" in said
    assert "took state_dict" in loads(
        {"state_dict": state, "ema": dict(state)}, classifier, tmp_path / "b.pt", capsys
    )
    average = {name: value + 1 for name, value in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": average}, tmp_path / "c.pt")
    reason = refused(
        classifier, tmp_path / "c.pt", "several networks that fit, state_dict and state_dict_ema"
    )
    assert "torch.save(torch.load(FILE)['state_dict'], OTHER_FILE)" in reason


def test_counters_and_harmless_entries(tmp_path, capsys):
    expected = network()
    state = {name: v for name, v in expected.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(expected.state_dict())
    said = loads(state, expected, tmp_path / "a.pt", capsys)
    assert said.endswith(": filled in num_batches_tracked of 3 layers\n")
    more = {
        **expected.state_dict(),
        "7.num_batches_tracked": torch.tensor(3),
        "epoch": 7,
        "args": {"lr": 0.1},
    }
    said = loads(more, expected, tmp_path / "b.pt", capsys)
    assert said.endswith(": left out 7.num_batches_tracked, epoch, args\n")


def test_another_network_is_named_by_what_differs(classifier, tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(small_cnn((1, 8, 8), 100, width=4), path)
    refused(classifier, path, "has 100 classes, the dataset has 10$")
    save_checkpoint(network(3), path)
    refused(
        classifier,
        path,
        re.escape(
            "of another classifier: it has 0.0.weight of shape (4, 3, 3, 3), where the classifier expects "
            "(4, 1, 3, 3)"
        ),
    )
    state = classifier.state_dict()
    save_file({name: value for name, value in state.items() if name != "1.1.bias"}, path)
    refused(classifier, path, re.escape("it lacks 1.1.bias, of shape (8,)"))
    save_file({**state, "extra": torch.zeros(1), "scale": torch.zeros(1)}, path)
    refused(classifier, path, re.escape("it has extra (and 1 more), which the classifier does not"))
    state = {**state, "0.0.weight": torch.zeros(4, 3, 3, 3), "extra": torch.zeros(1)}
    torch.save(
        {"model": {f"module.{name}": v for name, v in state.items() if name != "6.bias"}},
        path := tmp_path / "a.pt",
    )
    reason = refused(classifier, path, "of another classifier")
    parts = (
        "lacks 6.bias, of shape (10,)",
        "has module.extra, which",
        "has 0.0.weight of shape (4, 3, 3, 3)",
    )
    assert all(part in reason for part in parts)
    torch.save(resnet18((1, 8, 8), 10).state_dict(), path)
    assert len(refused(classifier, path, r"lacks .* \(and .* more\)")) < 400


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_values_that_are_not_finite(classifier, tmp_path, value):
    state = {**classifier.state_dict(), "0.1.running_var": torch.full((4,), float(value))}
    torch.save({"ema": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "a.pt")
    refused(classifier, tmp_path / "a.pt", r"0\.1\.running_var has values that are not finite")


@pytest.mark.parametrize("names", [("mean", "std"), ("mu", "sigma")])
def test_a_normalization_in_the_file_is_a_setting(tmp_path, capsys, names):
    bare = network(3)
    inside = OrderedDict(normalize=Normalize(*names), model=bare)
    wrappers = [nn.Sequential(Normalize(*names), bare), nn.Sequential(inside), nn.Module()]
    wrappers[2].model = bare
    for name, value in Normalize(*names).named_buffers():
        wrappers[2].register_buffer(name, value)
    for i, wrapper in enumerate(wrappers):
        path = tmp_path / f"{i}.pt"
        torch.save(wrapper.state_dict(), path)
        settings = "'classifier.mean=[0.4914,0.4822,0.4465]' 'classifier.std=[0.2471,0.2435,0.2616]'"
        for classifier in (network(3), Normalized(network(3), mean=0.5, std=STD)):
            assert refused(classifier, path, "normalizes its input").endswith(f"; set {settings}")
        other = Normalized(network(3), mean=MEAN, std=STD, channels=3)
        load_checkpoint(other, path)
        assert torch.equal(other.network[0][0].weight, bare[0][0].weight)
        assert "what stood before" not in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_broken_file(classifier, tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    refused(classifier, path, "no checkpoint file")
    save_checkpoint(classifier, path) if suffix == "safetensors" else torch.save(
        classifier.state_dict(), path
    )
    whole = path.read_bytes()
    for content in (b"", b"not a checkpoint", whole[: len(whole) // 2], whole[:-1]):
        path.write_bytes(content)
        refused(classifier, path, "not a readable checkpoint")


@pytest.mark.parametrize(
    "content", [[1, 2], {}, {"state_dict": {"a": 1}}, {1: torch.zeros(1)}, {"w": {"a": 1}}]
)
def test_torch_file_without_parameters(classifier, tmp_path, content):
    torch.save(content, tmp_path / "a.pt")
    refused(classifier, tmp_path / "a.pt", "must map parameter names to tensors, .* state_dict")


def test_no_code_is_run(classifier, tmp_path):
    advice = r"never code; .* torch\.save\(model\.state_dict\(\), FILE\)$"
    torch.save(classifier, tmp_path / "a.pt")
    refused(classifier, tmp_path / "a.pt", f"objects of torch.nn.modules.container.Sequential, .* {advice}")
    torch.save({"state_dict": classifier.state_dict(), "args": argparse.Namespace(lr=0.1)}, tmp_path / "b.pt")
    refused(classifier, tmp_path / "b.pt", f"objects of argparse.Namespace, .* {advice}")
