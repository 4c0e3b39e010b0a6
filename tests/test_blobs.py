"""Encoded images that lie on disk."""

from vqexp.data.blobs import Blobs


def test_blobs_are_what_was_put_there():
    blobs = Blobs(3)
    blobs[2], blobs[0] = b"last", b"first"
    assert list(blobs) == [b"first", b"", b"last"]
