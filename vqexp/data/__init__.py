"""Data sets: images in [0, 1] with integer labels, from scikit-learn, files or torchvision."""

from vqexp.data.base import Dataset
from vqexp.data.digits import Digits
from vqexp.data.fetch import fetch
from vqexp.data.files import ImageFiles
from vqexp.data.images import Images
from vqexp.data.in_memory import InMemory
from vqexp.data.npz import Npz
from vqexp.data.split import Split
from vqexp.data.torch_dataset import TorchDataset

__all__ = ["Dataset", "Digits", "ImageFiles", "Images", "InMemory", "Npz", "Split", "TorchDataset", "fetch"]
