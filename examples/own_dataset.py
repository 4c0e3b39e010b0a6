"""A dataset of your own: any torch Dataset. In this folder:

vqexp dataset._target_=own_dataset.Stripes 'dataset.shape=[1,8,8]' dataset.num_classes=2 training.epochs=5
"""

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Stripes(Dataset):
    def __init__(self, train: bool, n: int = 200) -> None:
        self.noise = torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(int(train)))

    def __len__(self) -> int:
        return len(self.noise)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        stripes = (torch.arange(8) % 2).float()  # across, or down
        return 0.5 * self.noise[row] + 0.5 * (stripes if row % 2 else stripes[:, None]), row % 2
