"""The family of vector quantizers: patches, noise, a codebook for each image, nearest center, reassembly.

Dong & Mao, "Adversarial Defenses via Vector Quantization" (journal version), section 4.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from vqexp.core.draws import Draw, Streams
from vqexp.core.errors import check_number, one_of, require
from vqexp.core.inputs import check_images
from vqexp.defenses.base import Defense
from vqexp.defenses.vq import backends, kmeans
from vqexp.defenses.vq.backends.base import Backend
from vqexp.defenses.vq.tiles import Tiles

MOST = 2048  # MiB, where no limit is set


class Nearest:
    """Assigns each patch to its nearest center (Algorithms 1 and 2, line 5); a subclass assigns softly."""

    def codebook(self, noisy: Tensor, centers: Tensor) -> Tensor:
        """The codebook (N, k, d), given the centers that k-means found: here the centers themselves."""
        return centers

    def quantized(self, noisy: Tensor, centers: Tensor) -> Tensor:
        """(N, n, d) and (N, k, d) -> (N, n, d): for each patch its nearest center."""
        return kmeans.gather_rows(centers, kmeans.nearest(noisy, centers))


class VectorQuantizer(Defense):
    """Quantizes an image against k centers found among its own noisy patches (Algorithms 1 and 2).

    s: patch size in pixels, >= 1. k: number of centers, >= 1.
    sigma, tau: standard deviation of the noise before clustering and before assignment, 0 to pixel_max.
    pixel_max: 1 or 255, the pixel scale in which sigma, tau (and beta) are meant; images are in [0, 1].
    seed: key of the randomness, in [0, 2^63).
    init: `random` (k different noisy patches) or `k-means++`; None: k-means++ where s is 1, else random.
    max_steps: Lloyd steps at most, >= 0; 0 keeps the starting patches as centers.
    restarts: runs of k-means from fresh starts, >= 1, of which the one with the lowest inertia counts.
    memory_limit: MiB of working memory beside the images, > 0; a batch that would need more is split, with
        the same results, and an image that would is worked on in tiles of its patches, which is slower and
        the same up to rounding. It does not hold for k-means++ on patches, soft assignments and Triton.
        None: 2048, and on the CPU batches of 16, lest they leave the cache, but an image a thread.
    backend: what computes it, of `backends.NAMES`; `auto` takes the fastest for the device, dtype and shape.
        All give the same labels, except where rounding decides between centers that are equally near.
    Raises `ConfigError` for values out of range.

    `forward` is differentiable for its draw: assignments are constant, gradients flow through the
    centers, which are means of the image's own patches.
    """

    random = True
    strength = "k"
    assignment = Nearest()

    def __init__(
        self,
        *,
        s: int,
        k: int,
        sigma: float,
        tau: float,
        pixel_max: float = 1,
        seed: int = 0,
        init: str | None = None,
        max_steps: int = 100,
        restarts: int = 1,
        memory_limit: float | None = None,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        check_number("defense.s", s, low=1, integer=True)
        check_number("defense.k", k, low=1, integer=True)
        one_of("defense.pixel_max", pixel_max, (1, 255))
        check_number("defense.sigma", sigma, low=0, high=pixel_max)
        check_number("defense.tau", tau, low=0, high=pixel_max)
        check_number("defense.seed", seed, low=0, high=2**63 - 1, integer=True)
        init = kmeans.default_start(s) if init is None else init
        one_of("defense.init", init, kmeans.STARTS)
        check_number("defense.max_steps", max_steps, low=0, high=10_000, integer=True)
        check_number("defense.restarts", restarts, low=1, high=1000, integer=True)
        if memory_limit is not None:
            check_number("defense.memory_limit", memory_limit, above=0)
        one_of("defense.backend", backend, backends.NAMES)
        self.s, self.k, self.sigma, self.tau = s, k, float(sigma), float(tau)
        self.pixel_max, self.seed, self.init = pixel_max, seed, init
        self.max_steps, self.restarts, self.memory_limit = max_steps, restarts, memory_limit
        self.backend = backend

    def extra_repr(self) -> str:
        """The parameters, for `print(quantizer)`."""
        return f"s={self.s}, k={self.k}, sigma={self.sigma:g}, tau={self.tau:g}, pixel_max={self.pixel_max}"

    # The three steps in which the members of the family differ.

    @property
    def stride(self) -> int | None:
        """Pixels from one patch to the next; None if there are no tiles (`assemble`)."""
        return None

    def number_of_patches(self, H: int, W: int) -> int:
        """n for an image of H x W pixels."""
        raise NotImplementedError

    def patches(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, n, d)."""
        raise NotImplementedError

    def reassemble(self, quantized: Tensor, patches: Tensor, size: tuple[int, int]) -> Tensor:
        """Quantized patches and the noise-free ones, both (N, n, d) -> images (N, C, H, W)."""
        raise NotImplementedError

    def assemble(self, tiles: Tiles, centers: Tensor, labels: Tensor) -> Tensor:
        """`reassemble` for one image in tiles: centers (1, k, d), of each patch its label (1, n)."""
        raise NotImplementedError

    # What they share.

    def check(self, shape: Sequence[int]) -> None:
        """Raise `ConfigError` unless s fits into the image and k into its patches; `shape` (C, H, W)."""
        _, H, W = shape
        require(
            self.s <= min(H, W),
            f"defense.s is {self.s}; it must be at most {min(H, W)}, the image being {H} x {W}",
        )
        n = self.number_of_patches(H, W)
        require(
            self.k <= n,
            f"defense.k is {self.k}; it must be at most {n}, the number of {self.s} x {self.s} patches "
            f"of a {H} x {W} image",
        )

    def computed_by(self, shape: Sequence[int], device: torch.device) -> str:
        """The backend for float32 images of `shape` (C, H, W), and its version.

        Raises `ConfigError` if the one that is set cannot run.
        """
        C, H, W = shape
        n, d = self.number_of_patches(H, W), C * self.s**2
        return backends.description(backends.choose(self.backend, n, d, self.k, device, torch.float32))

    def backend_for(self, patches: Tensor) -> Backend:
        """What computes with patches (N, n, d); raises `ConfigError` if the one that is set cannot."""
        _, n, d = patches.shape
        return backends.choose(self.backend, n, d, self.k, patches.device, patches.dtype)

    def codebook(self, patches: Tensor, streams: Streams) -> Tensor:
        """Centers (N, k, d) of the patches with noise sigma: Algorithms 1 and 2, line 3."""
        noisy = self.with_noise(patches, self.sigma, streams)
        best = self._cluster(noisy, streams)
        for _ in range(self.restarts - 1):
            other = self._cluster(noisy, streams)
            better = kmeans.inertia(noisy, other) < kmeans.inertia(noisy, best)
            best = torch.where(better.view(-1, 1, 1), other, best)
        return self.assignment.codebook(noisy, best) if self.max_steps else best

    @torch.no_grad()
    def codebooks(self, images: Tensor, draw: Draw) -> Tensor:
        """Centers (N, k, d) of each image alone: those with which `forward` quantizes in the same draw."""
        draw, size = draw.resolve(len(images)), self._images_at_once(images)
        blocks = [slice(i, i + size) for i in range(0, len(images), size)]
        found = []
        for rows in blocks:
            streams = Streams(self.seed, draw[rows], images.device)
            tiles = self._tiles(images[rows], streams)
            found.append(tiles.codebook() if tiles else self.codebook(self.patches(images[rows]), streams))
        return torch.cat(found)

    def _cluster(self, noisy: Tensor, streams: Streams) -> Tensor:
        """Centers of one run of k-means: means of their patches, and differentiable as such."""
        backend = self.backend_for(noisy)
        start = kmeans.gather_rows(noisy, backend.starts(noisy, self.k, self.init, streams))
        if self.max_steps == 0:
            return start
        centers, labels = backend.lloyd(noisy.detach(), start.detach(), self.max_steps)
        return kmeans.cluster_means(noisy, labels, centers) if noisy.requires_grad else centers

    def forward(self, images: Tensor, draw: Draw | None = None) -> Tensor:
        """Quantized images: (N, C, H, W) in [0, 1] -> the same shape, within the range of the centers.

        Raises `ConfigError` for what are no images in [0, 1], or if s or k do not fit them.
        """
        check_images(images)
        self.check(images.shape[1:])
        draw, size = self.draw_for(len(images), draw), self._images_at_once(images)
        wants_gradient = images.requires_grad and torch.is_grad_enabled()
        if not wants_gradient and type(self.assignment) is Nearest:
            corner = self.patches(images[:1, :, : self.s, : self.s])  # has their dimension
            n = self.number_of_patches(*images.shape[-2:])
            whole = self.backend_for(corner.expand(1, n, -1)).forward(self, images, draw)
            if whole is not None:
                return whole
        parts = [
            self._quantize(images[i : i + size], draw[i : i + size]) for i in range(0, len(images), size)
        ]
        return torch.cat(parts)

    def _quantize(self, images: Tensor, draw: Draw) -> Tensor:
        H, W = images.shape[-2:]
        streams = Streams(self.seed, draw, images.device)
        if tiles := self._tiles(images, streams):
            return tiles.quantized()
        patches = self.patches(images)
        centers = self.codebook(patches, streams)
        quantized = self.assignment.quantized(self.with_noise(patches, self.tau, streams), centers)
        return self.reassemble(quantized, patches, (H, W))

    def with_noise(self, patches: Tensor, scale: float, streams: Streams) -> Tensor:
        """The patches (N, n, d) with normal noise of a standard deviation in the scale of `pixel_max`."""
        if scale == 0:
            return patches
        noise = streams.normal(patches.shape[1:], patches.dtype)
        return noise.mul_(scale / self.pixel_max).add_(patches)

    def _tiles(self, images: Tensor, streams: Streams) -> Tiles | None:
        """The image in tiles, if it is a single one that the memory limit has no room for."""
        C, H, W = images.shape[1:]
        room = (self.memory_limit or MOST) * 2**20 / images.element_size()
        a_patch = self._numbers_a_patch(C)
        n = self.number_of_patches(H, W)
        fits = n * a_patch <= room or len(images) > 1
        if fits or self.stride is None or type(self.assignment) is not Nearest:
            return None
        always = 10 * n + 6 * C * H * W  # labels, similarities and the image itself
        return Tiles(self, images, streams, int((room - always) / a_patch))

    def _images_at_once(self, images: Tensor) -> int:
        """How many images fit into the memory limit."""
        C, H, W = images.shape[1:]
        numbers = self.number_of_patches(H, W) * self._numbers_a_patch(C)
        on_cpu = images.device.type == "cpu"
        limit = self.memory_limit or (16 if on_cpu else MOST)
        least = torch.get_num_threads() if on_cpu and self.memory_limit is None else 1
        return max(least, int(limit * 2**20 / (numbers * images.element_size())))

    def _numbers_a_patch(self, channels: int) -> int:
        """At most: five copies (one in float64) and two rows of k, or, for k-means++ starts in float64, its
        candidates' distances five times.
        """
        rows = 2 * self.k
        if self.init == "k-means++":
            rows = max(rows, 10 * kmeans.candidates_a_step(self.k))
        return 5 * channels * self.s**2 + rows + 8
