"""f in bfloat16 and compiled: close to f, in the attack's eyes alone, and told in the record."""

from functools import partial

import pytest
import torch
from torch import nn

from vqexp.classifiers import computed
from vqexp.classifiers.precision import FEW, Compiled, check_compiles
from vqexp.core.errors import ConfigError
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.provenance import provenance
from vqexp.pipeline.stages import Stages

CHECK = "vqexp.pipeline.check.check_compiles"


def logits_and_gradient(f, images, labels):
    images = images.detach().requires_grad_(True)
    logits = f(images)
    loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
    return logits.detach(), torch.autograd.grad(loss, images)[0]


class Graphs:
    """A backend that compiles nothing, and counts what it would have."""

    def __init__(self):
        self.count = 0

    def __call__(self, graph, examples):
        self.count += 1
        return graph.forward


@pytest.fixture
def graphs(monkeypatch):
    """What a run with compile=true gives to be compiled, on a machine that need not have a compiler."""
    torch._dynamo.reset()
    found = Graphs()
    monkeypatch.setattr("vqexp.classifiers.precision.Compiled", partial(Compiled, backend=found))
    monkeypatch.setattr(CHECK, lambda device: None)
    return found


def test_bfloat16_is_close_and_speaks_float32(digit_images, digit_classifier):
    images, labels = digit_images.pixels(slice(0, 64)), digit_images.labels[:64]
    logits, gradient = logits_and_gradient(digit_classifier, images, labels)
    low_logits, low_gradient = logits_and_gradient(computed(digit_classifier, "bfloat16"), images, labels)
    assert low_logits.dtype == low_gradient.dtype == torch.float32
    assert 0 < (logits - low_logits).abs().max() < 0.02 * logits.abs().max()
    cosine = nn.functional.cosine_similarity(gradient.flatten(1), low_gradient.flatten(1))
    assert cosine.median() > 0.999


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_one_graph_serves_all_sizes(precision, digit_images, digit_classifier, graphs):
    """From 16 on, where a CPU's convolutions change; and none is made of one or two images."""
    plain, compiled = (computed(digit_classifier, precision, each) for each in (False, True))
    for n in (64, 17, 40, FEW, 1):
        images, labels = digit_images.pixels(slice(0, n)), digit_images.labels[:n]
        expected, found = (logits_and_gradient(f, images, labels) for f in (plain, compiled))
        torch.testing.assert_close(found, expected)
        assert graphs.count == 1


def test_a_compiled_f_is_the_attacks_alone(config, tmp_path, graphs):
    """It finds what f itself would, under the same key, in batches that do not fit too; f judges as it is."""
    settings = [
        "adversary=eot",
        "adversary.samples=3",
        "adversary.average=output",
        "adversary.memory_limit=0.1",
    ]
    settings += ["attack=pgd", "dataset.n=20", "defense.k=3"]
    choices = [config(*settings, f"compile={each}", root=tmp_path / each) for each in ("false", "true")]
    records = [read(run(choice)) for choice in choices]
    assert graphs.count > 0
    assert records[0].key == records[1].key
    assert [record.config["compile"] for record in records] == [False, True]
    plain, compiled = (Stages(prepare(choice)) for choice in choices)
    torch.testing.assert_close(compiled.inputs(0, True), plain.inputs(0, True))
    assert any(isinstance(module, Compiled) for module in compiled.view.modules())
    assert not any(isinstance(module, Compiled) for module in compiled.model.modules())


def test_random_layers_are_not_compiled(config, graphs):
    with pytest.raises(ConfigError, match="compile=true is for an f without random layers, and defense CTRW"):
        prepare(config("defense=ctrw", "adversary=held", "classifier=resnet18", "compile=true"))


def test_without_a_compiler_a_line_says_so(vqexp, monkeypatch, tmp_path):
    def fails(function):
        raise RuntimeError("no working C++ compiler\nset THIS for more")

    monkeypatch.setattr(torch, "compile", fails)
    check_compiles.cache_clear()
    status, _, err = vqexp("compile=true", "device=cpu")
    assert (status, err) == (
        2,
        "vqexp: compile=true fails here: no working C++ compiler; set compile=false\n",
    )
    assert not (tmp_path / "store").exists()


@pytest.mark.gpu
def test_on_a_gpu_torch_compiles(digit_images, digit_classifier):
    check_compiles(torch.device("cuda"))
    f = digit_classifier.cuda()
    images, labels = digit_images.pixels(slice(0, 64)).cuda(), digit_images.labels[:64].cuda()
    expected, found = (logits_and_gradient(each, images, labels) for each in (f, computed(f, compiled=True)))
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)


def test_a_record_of_a_gpu_tells_whether_float32_is_rounded_to_tf32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    for allowed in (True, False):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
        assert provenance(torch.device("cuda"), {})["tf32"] is allowed
    assert "tf32" not in provenance(torch.device("cpu"), {})
