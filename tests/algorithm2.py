"""Algorithms 1 and 2 of Dong & Mao, "Adversarial Defenses via Vector Quantization", line by line, slowly.

One image (C, H, W), float64 numpy. Line 3, the clustering, and the noise of line 1 are given: `centers`
(k, C s^2) and `omega` (n, C s^2), in the image's pixel scale. A patch is a vector channel by channel, row
by row; patches are numbered row by row.
"""

import math

import numpy as np


def patch(image, y, x, s):
    """The s x s patch at (y, x) as a vector."""
    return np.array(
        [image[c, y + dy, x + dx] for c in range(len(image)) for dy in range(s) for dx in range(s)]
    )


def closest(noisy_patch, centers):
    """arg min over c in C of ||p_i + omega_i - c||_2."""
    return centers[int(np.argmin([np.linalg.norm(noisy_patch - center) for center in centers]))]


def prd(image, centers, omega, s):
    """Algorithm 1."""
    C, H, W = image.shape
    padded = np.zeros((C, s * math.ceil(H / s), s * math.ceil(W / s)))
    padded[:, :H, :W] = image
    corners = [(y, x) for y in range(0, padded.shape[1], s) for x in range(0, padded.shape[2], s)]
    result = np.full_like(padded, np.nan)
    for i, (y, x) in enumerate(corners):  # lines 2, 4-6
        quantized = closest(patch(padded, y, x, s) + omega[i], centers)
        for c in range(C):  # line 7
            for dy in range(s):
                for dx in range(s):
                    result[c, y + dy, x + dx] = quantized[(c * s + dy) * s + dx]
    return result[:, :H, :W]


def swrd(image, centers, omega, s, beta):
    """Algorithm 2, its softmax (line 15) in log space."""
    C, H, W = image.shape
    corners = [(y, x) for y in range(H - s + 1) for x in range(W - s + 1)]  # line 2
    quantized, distance = [], []
    for i, (y, x) in enumerate(corners):  # lines 4-7
        original = patch(image, y, x, s)
        quantized.append(closest(original + omega[i], centers))
        distance.append(np.linalg.norm(quantized[i] - original))
    result = np.full_like(image, np.nan)
    for row in range(H):  # line 8
        for column in range(W):
            values, similarities = [], []
            for j, (y, x) in enumerate(corners):  # lines 9-14
                dy, dx = row - y, column - x
                if 0 <= dy < s and 0 <= dx < s:
                    values.append([quantized[j][(c * s + dy) * s + dx] for c in range(C)])
                    similarities.append(-beta * distance[j] ** 2)
            log_total = np.logaddexp.reduce(similarities)
            weights = [math.exp(similarity - log_total) for similarity in similarities]  # line 15
            for c in range(C):  # line 16
                result[c, row, column] = math.fsum(
                    w * value[c] for w, value in zip(weights, values, strict=True)
                )
    return result
