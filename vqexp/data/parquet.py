"""Splits in parquet files: a column of encoded images (a struct with `bytes`), a column of integer labels."""

import hashlib
import io
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from vqexp.core.atomic import atomically
from vqexp.core.errors import ConfigError, one_line, require
from vqexp.core.files import hash_files
from vqexp.data.blobs import Blobs
from vqexp.data.columns import choose
from vqexp.data.encoded import DECODE_ONCE, Encoded, Form
from vqexp.data.images import Pixels
from vqexp.data.split import Split

ROWS_PER_GROUP = 5_000
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class Parquet(Split):
    """The split whose rows are those of the files `paths`, one after the other, its images brought to `form`.

    `columns` names the columns "image" and "label"; `choose` finds what it leaves out.
    """

    def __init__(
        self, paths: Sequence[Path], form: Form, num_classes: int, columns: Mapping[str, str | None]
    ) -> None:
        self._paths, self._form, self._num_classes, self._wanted = paths, form, num_classes, columns
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self.name = f"{paths[0]}{more}"

    def check(self) -> None:
        first, *others = self._schemas
        chosen, kinds = self._columns, [first.field(name).type for name in self._columns]
        for path, schema in zip(self._paths[1:], others, strict=True):
            same = choose(str(path), schema, self._wanted, self._num_classes) == chosen
            same = same and [schema.field(name).type for name in chosen] == kinds
            require(same, f"{path} has other columns than {self._paths[0]}; they must be the same")

    def fingerprint(self) -> str:
        """The hex sha256 of the one file; of several, or where columns had to be chosen, that of all this."""
        hashes = hash_files(str(self._paths[0]), self._paths)
        if len(hashes) == 1 and self._columns == ("image", "label"):
            return hashes[0]
        return hashlib.sha256("\n".join([*self._columns, *hashes]).encode()).hexdigest()

    def labels(self) -> Tensor:
        self.check()
        name = self._columns[1]
        columns = []
        for path in self._paths:
            with _open(path) as file:
                column = file.read(columns=[name]).column(name)
            missing = pc.index(column.is_null(), True).as_py()
            require(missing < 0, f"{path}, row {missing}: the label is missing")
            columns.append(column.cast(pa.int64()).to_numpy())
        return torch.from_numpy(np.concatenate(columns))

    def where(self, row: int) -> str:
        """The file, and the row in it."""
        at = bisect_right(self._stops, row)
        return f"{self._paths[at]}, row {row - (self._stops[at - 1] if at else 0)}"

    def read(self, rows: Tensor) -> Pixels:
        # small images become pixels at once, but of large ones all may be more than memory holds
        large = max(self._form.shape[1:]) > DECODE_ONCE
        blobs: Blobs | list[bytes] = Blobs(len(rows)) if large else [b""] * len(rows)
        wanted, start = rows.numpy(), 0
        name = self._columns[0]
        # One row group at a time: the memory needed is that of the chosen images, not of the file.
        for path in self._paths:
            with _open(path) as file:
                for group in range(file.num_row_groups):
                    stop = start + file.metadata.row_group(group).num_rows
                    at = np.flatnonzero((start <= wanted) & (wanted < stop))
                    if len(at):
                        image = file.read_row_group(group, columns=[f"{name}.bytes"]).column(name)
                        chosen = pc.struct_field(image, "bytes").take(pa.array(wanted[at] - start))
                        for position, blob in zip(at.tolist(), chosen.to_pylist(), strict=True):
                            blobs[position] = blob or b""
                    start = stop
        names = [self.where(row) for row in rows.tolist()]
        return Encoded(blobs, names, self._form).settled()

    @cached_property
    def _columns(self) -> tuple[str, str]:
        """The image column and the label column."""
        return choose(str(self._paths[0]), self._schemas[0], self._wanted, self._num_classes)

    @cached_property
    def _schemas(self) -> list[pa.Schema]:
        schemas = []
        for path in self._paths:
            with _open(path) as file:
                schemas.append(file.schema_arrow)
        return schemas

    @cached_property
    def _stops(self) -> list[int]:
        """For each file, how many rows it and those before it have."""
        counts = []
        for path in self._paths:
            with _open(path) as file:
                counts.append(file.metadata.num_rows)
        return list(accumulate(counts))


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise ConfigError(f"{path} is not a whole, readable parquet file ({one_line(error)})") from None


def write_parquet(path: Path, pixels: Tensor, labels: Tensor, classes: Sequence[str]) -> None:
    """Write `pixels` (N, C, H, W), uint8, and `labels` (N,) to `path`, losslessly as PNG.

    `classes`, in label order, go into the schema's metadata. The file appears whole or not at all.
    """
    images = [{"bytes": _png(image), "path": f"{row}.png"} for row, image in enumerate(pixels)]
    schema = pa.schema([("image", IMAGE), ("label", pa.int64())], metadata={"classes": ",".join(classes)})
    table = pa.table({"image": pa.array(images, IMAGE), "label": labels.numpy()}, schema=schema)
    with atomically(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROWS_PER_GROUP)


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).squeeze(-1).numpy()).save(buffer, "PNG")
    return buffer.getvalue()
