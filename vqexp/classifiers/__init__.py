"""Base classifiers f: images (N, C, H, W) in [0, 1] to logits (N, num_classes)."""

from vqexp.classifiers.checkpoint import load_checkpoint, save_checkpoint
from vqexp.classifiers.convex import convex
from vqexp.classifiers.huggingface import HuggingFace
from vqexp.classifiers.imagenet import efficientnet_v2_s, resnet50, torchvision
from vqexp.classifiers.in_memory import LogProbabilities, in_memory
from vqexp.classifiers.normalize import Normalized, normalized
from vqexp.classifiers.positions import layer_at, positions
from vqexp.classifiers.precision import PRECISIONS, check_compiles, computed
from vqexp.classifiers.resnet import resnet18, resnet18_torchvision
from vqexp.classifiers.robustbench import robustbench
from vqexp.classifiers.small_cnn import small_cnn
from vqexp.classifiers.small_resnet import small_resnet
from vqexp.classifiers.statistics import STATISTICS, BatchStatistics, with_statistics
from vqexp.classifiers.stn import STNCifar, stn_mnist
from vqexp.classifiers.timm import timm
from vqexp.classifiers.wide_resnet import WideResNet, wide_resnet

__all__ = [
    "PRECISIONS",
    "STATISTICS",
    "BatchStatistics",
    "HuggingFace",
    "LogProbabilities",
    "Normalized",
    "STNCifar",
    "WideResNet",
    "check_compiles",
    "computed",
    "convex",
    "efficientnet_v2_s",
    "in_memory",
    "layer_at",
    "load_checkpoint",
    "normalized",
    "positions",
    "resnet18",
    "resnet18_torchvision",
    "resnet50",
    "robustbench",
    "save_checkpoint",
    "small_cnn",
    "small_resnet",
    "stn_mnist",
    "timm",
    "torchvision",
    "wide_resnet",
    "with_statistics",
]
