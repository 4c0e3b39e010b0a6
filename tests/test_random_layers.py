"""Random normalizations and random filters inside f."""

import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn.functional import conv2d

from vqexp.classifiers import small_resnet, stn_mnist
from vqexp.core.draws import Draw
from vqexp.core.errors import ConfigError
from vqexp.core.random_module import call
from vqexp.defenses import RNA, RPF
from vqexp.defenses.weights.rna import RandomNorm
from vqexp.defenses.weights.rpf import ProjectionFilters

SHAPE = (3, 16, 16)
X = torch.rand(4, *SHAPE, generator=torch.Generator().manual_seed(0))
MEAN = Draw(mean=True)


def network(width=4):
    torch.manual_seed(0)
    return small_resnet(SHAPE, 10, width=width).eval()


# random normalization aggregation


def test_each_layer_chooses_among_the_normalizations():
    layer = RandomNorm([nn.BatchNorm2d(4), nn.GroupNorm(4, 4), nn.GroupNorm(2, 4)]).eval()
    layer.norms[0].running_mean.fill_(0.3)
    x = torch.rand(1, 4, 3, 3)
    outputs = torch.cat([norm(x) for norm in layer.norms])
    drawn = call(layer, x.expand(3000, -1, -1, -1), Draw("report", torch.arange(3000)))
    which = (drawn.unsqueeze(1) - outputs).abs().flatten(2).amax(2) < 1e-6
    assert (which.sum(1) == 1).all()
    assert stats.chisquare(which.sum(0).numpy()).pvalue > 1e-3
    torch.testing.assert_close(call(layer, x, MEAN), outputs.mean(0, keepdim=True))


def test_layers_choose_by_themselves():
    """Two layers, two choices each: four networks."""
    model = RNA(shape=SHAPE).install(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)).eval()
    )
    model[1].norms[0].running_mean.fill_(0.5)
    model[2].norms[1].weight.data.fill_(2)
    drawn = torch.stack([call(model, X[:1], Draw("report", number)) for number in range(40)])
    assert len({round(each.double().abs().sum().item(), 3) for each in drawn}) == 4


def test_only_the_chosen_one_is_trained():
    model = RNA(shape=SHAPE).install(network()).train()
    call(model, X, Draw("train", 0)).sum().backward()
    for layer in (each for each in model.modules() if isinstance(each, RandomNorm)):
        used = [norm.weight.grad is not None for norm in layer.norms]
        assert sum(used) == 1
        assert (layer.norms[0].num_batches_tracked == 1) == used[0]


def test_group_sizes():
    model = RNA(shape=SHAPE, group_sizes=(1, 4)).install(network())
    assert [norm.num_groups for norm in model.layer2.bn1.norms[1:]] == [8, 2]
    with pytest.raises(ConfigError, match="4 x 8 x 8: groups must divide the channels"):
        RNA(shape=SHAPE, group_sizes=(3,)).install(network())
    with pytest.raises(ConfigError, match="16 x 1 x 1: groups must divide"):
        RNA(shape=(3, 8, 8)).install(network())
    with pytest.raises(ConfigError, match="no BatchNorm2d"):
        RNA(shape=(3, 16, 16)).install(stn_mnist(SHAPE, 10))
    for wrong in ((), (0,)):
        with pytest.raises(ConfigError, match="group_sizes"):
            RNA(shape=SHAPE, group_sizes=wrong)


# random projection filters


def filters(layer, number):
    """The filters of one draw, read from impulses: (out, in, 3, 3)."""
    impulses = torch.zeros(3, 3, 5, 5)
    impulses[torch.arange(3), torch.arange(3), 2, 2] = 1
    answer = call(layer, impulses, MEAN if number is None else Draw("report", number)).detach()
    return answer[:, :, 1:4, 1:4].flip(2, 3).transpose(0, 1)


def test_the_random_filters_are_normal():
    layer = RPF(shape=SHAPE).install(network(width=8)).conv1
    layer.convolution.stride = (1, 1)
    drawn = torch.stack([filters(layer, number)[2:] for number in range(60)])  # 3/4 of them
    assert stats.kstest(drawn.flatten().double().numpy(), stats.norm(scale=1 / 3).cdf).pvalue > 1e-3
    assert torch.corrcoef(drawn.flatten(1).T).fill_diagonal_(0).abs().max() < 0.8
    assert filters(layer, None)[2:].abs().max() == 0


def test_the_others_are_trained_and_of_their_scale():
    f = network(width=8)
    kept = f.conv1.weight[:2].detach().clone()
    model = RPF(shape=SHAPE).install(f)
    scaled = kept / kept.std((1, 2, 3), keepdim=True) / 3
    model.conv1.convolution.stride = (1, 1)
    for number in (0, 1, None):
        torch.testing.assert_close(filters(model.conv1, number)[:2], scaled, rtol=1e-4, atol=1e-4)
    call(model, X, Draw("train", 0)).sum().backward()
    assert model.conv1.convolution.weight.grad.shape == (2, 3, 3, 3)


def test_a_convolution_with_a_bias():
    layer = ProjectionFilters(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", bias=True), 2)
    out, bias = call(layer, X, MEAN), layer.convolution.bias
    torch.testing.assert_close(out[:, 2:], bias[2:].view(-1, 1, 1).expand_as(out[:, 2:]))
    inner = nn.functional.pad(X, (1, 1, 1, 1), "reflect")
    weight = layer.convolution.weight
    expected = conv2d(inner, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5) / 3, bias[:2])
    torch.testing.assert_close(out[:, :2], expected)


@pytest.mark.parametrize("share", [0, 1, 0.01, 0.99])
def test_some_filters_are_random_and_some_are_not(share):
    with pytest.raises(ConfigError, match=r"defense\.share"):
        RPF(shape=SHAPE, share=share).install(network())
