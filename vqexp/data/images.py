"""One split of a data set, as the rest of the package sees it."""

import torch
from torch import Tensor

from vqexp.data.encoded import Encoded

SHARE = 0.25  # of a GPU's free memory that images may take
# Where pixels are kept: (N, C, H, W), uint8 in 0..255 or float32 in [0, 1], or decoded when indexed.
Pixels = Tensor | Encoded


class Images:
    """Labelled images in a fixed order.

    Attributes:
        labels: (N,) int64.
        ids: (N,) int64, the row of each image in the full split, whatever subset or order this is.
        shape: (C, H, W).
    """

    def __init__(self, pixels: Pixels, labels: Tensor, ids: Tensor | None = None) -> None:
        """Wrap `pixels` and `labels`, both of length N; `ids` defaults to 0..N-1."""
        self._pixels = pixels
        self._rows = torch.arange(len(labels))
        self.labels = labels.to("cpu", torch.int64)
        self.ids = self._rows if ids is None else ids.to("cpu", torch.int64)
        self.shape: tuple[int, int, int] = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
        if not len(pixels) == len(self.labels) == len(self.ids):
            raise ValueError(f"{len(pixels)} images, {len(self.labels)} labels and {len(self.ids)} ids")

    def __len__(self) -> int:
        return len(self.labels)

    def on(self, device: torch.device) -> "Images":
        """The same images with their pixels on `device`, where they are kept in memory and fit there easily.

        A batch is then no copy from the host.
        """
        found = self.subset(slice(None))
        if isinstance(self._pixels, Tensor) and device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if self._pixels.nbytes < SHARE * free:
                found._pixels = self._pixels.to(device)
        return found

    def pixels(self, rows: slice | Tensor) -> Tensor:
        """The images at positions `rows` of this object: (len, C, H, W), float32 in [0, 1].

        They are where the pixels are kept: on the CPU, unless `on` put them elsewhere.

        `rows` is a slice, an int64 tensor of positions or a boolean mask (N,).
        Raises ConfigError where an image that is decoded only now is broken.
        """
        stored = self._pixels[self._rows[_on_cpu(rows)]]
        return stored.float().div_(255) if stored.dtype == torch.uint8 else stored.float()

    def subset(self, rows: slice | Tensor) -> "Images":
        """The images at positions `rows`, in that order; pixels are shared, `ids` stay what they were."""
        rows = _on_cpu(rows)
        part = object.__new__(Images)
        part._pixels, part._rows = self._pixels, self._rows[rows]
        part.labels, part.ids, part.shape = self.labels[rows], self.ids[rows], self.shape
        return part


def _on_cpu(rows: slice | Tensor) -> slice | Tensor:
    return rows if isinstance(rows, slice) else rows.cpu()
