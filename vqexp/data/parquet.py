"""Splits in parquet files: a column `image` (a struct with the encoded `bytes`) and a column `label`."""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from vqexp.data.encoded import Encoded, Form
from vqexp.data.images import Store
from vqexp.data.split import Split, sha256_of_file
from vqexp.errors import ConfigError, one_line, require

ROWS_PER_GROUP = 5_000
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Parquet(Split):
    """The split in the file `path`, its images brought to `form`."""

    def __init__(self, path: Path, form: Form) -> None:
        self.name, self._path, self._form = str(path), path, form

    def check(self) -> None:
        with self._open() as file:
            schema = file.schema_arrow
            for column in ("image", "label"):
                require(
                    column in schema.names,
                    f"{self.name} has no column {column!r}; it must have image (a struct with bytes) and "
                    f"label, and has {', '.join(schema.names)}",
                )
            image, label = schema.field("image").type, schema.field("label").type
            encoded = pa.types.is_struct(image) and image.get_field_index("bytes") >= 0
            require(encoded, f"{self.name}: column image must be a struct with bytes, but is {image}")
            require(
                pa.types.is_integer(label), f"{self.name}: column label must be of integers, but is {label}"
            )

    def fingerprint(self) -> str:
        return sha256_of_file(self._path)

    def labels(self) -> Tensor:
        self.check()
        with self._open() as file:
            column = file.read(columns=["label"]).column("label")
        missing = pc.index(column.is_null(), True).as_py()
        require(missing < 0, f"{self.name}, row {missing}: the label is missing")
        return torch.from_numpy(column.cast(pa.int64()).to_numpy().copy())

    def read(self, rows: Tensor) -> Store:
        blobs: list[bytes | None] = [None] * len(rows)
        wanted, start = rows.numpy(), 0
        # One row group at a time: the memory needed is that of the chosen images, not of the file.
        with self._open() as file:
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                at = np.flatnonzero((start <= wanted) & (wanted < stop))
                if len(at):
                    image = file.read_row_group(group, columns=["image.bytes"]).column("image")
                    chosen = pc.struct_field(image, "bytes").take(pa.array(wanted[at] - start))
                    for position, blob in zip(at, chosen.to_pylist(), strict=True):
                        blobs[position] = blob
                start = stop
        names = [f"{self.name}, row {row}" for row in wanted]
        return Encoded(blobs, names, self._form).settled()

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            with pq.ParquetFile(self._path) as file:
                yield file
        except (OSError, pa.ArrowException) as error:
            raise ConfigError(
                f"{self.name} is not a whole, readable parquet file ({one_line(error)})"
            ) from None


def write_parquet(path: Path, pixels: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Write `pixels` (N, C, H, W), uint8, and `labels` (N,) to `path`, losslessly as PNG.

    `classes`, in label order, go into the schema's metadata. The file appears whole or not at all.
    """
    images = [{"bytes": _png(image), "path": f"{row}.png"} for row, image in enumerate(pixels)]
    schema = pa.schema([("image", IMAGE), ("label", pa.int64())], metadata={"classes": ",".join(classes)})
    table = pa.table({"image": pa.array(images, IMAGE), "label": labels.numpy()}, schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        pq.write_table(table, unfinished, row_group_size=ROWS_PER_GROUP)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()).save(buffer, "PNG")
    return buffer.getvalue()
