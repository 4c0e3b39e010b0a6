"""The package's Square Attack on images of any size."""

from pyautoattack.square import SquareAttack
from torch import Tensor
from torch.nn.functional import pad


class AnySize(SquareAttack):
    """In l2 its first point is tiled with squares of a fifth of the height, which do not fit all images.

    Where a tile sticks out over an edge, or has no pixel at all, the package fails. Such images get up to
    four rows of zeros below that the view does not see; the share of the radius that the attack spends
    there is lost. The others are treated as in the package.
    """

    def attack_single_run(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The number of queries (N,) and the points (N, C, H, W), as in the package."""
        self.rows = x.shape[2]
        queries, points = super().attack_single_run(pad(x, (0, 0, 0, self.padding(*x.shape[2:]))), y)
        return queries, points[:, :, : self.rows]

    def margin_and_loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Of the images without the added rows."""
        return super().margin_and_loss(x[:, :, : self.rows], y)

    def remarks(self, height: int, width: int) -> list[str]:
        """What is done to images of this size, in a line; none if they stay as they are."""
        more = self.padding(height, width)
        text = (
            f"square gets images of {height} x {width} with {more} rows of zeros added, to fit its l2 start"
        )
        return [text] if more else []

    def padding(self, height: int, width: int) -> int:
        """Rows to add; a multiple of five fits every width."""
        return next(more for more in range(5) if self.norm != "L2" or _tiled(height + more, width))


def _tiled(height: int, width: int) -> bool:
    """Whether the package's tiles all end at the edges at the latest, or are single pixels."""
    side = height // 5
    if side < 2:
        return side == 1
    margin = (height - 5 * side) // 2  # above and, whatever the width, on the left
    return all(margin + length // side * side <= length for length in (height, width))
