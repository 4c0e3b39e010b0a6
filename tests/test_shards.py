"""Runs that are split over workers: the same record, bit for bit, and one line for what is no shard."""

import pytest
import torch

from vqexp import results
from vqexp.core.errors import ConfigError, Unfinished
from vqexp.core.store import Store
from vqexp.pipeline import prepare, read, run
from vqexp.pipeline.shard import Shard
from vqexp.pipeline.stages import Stages

# four chunks, the last one smaller
SPLIT = ["dataset.n=14", "attack.batch_size=4", "training.epochs=1", "classifier.width=4"]


def told(record):
    """What a record says but when and how fast it was made."""
    plain = record.plain()
    plain["config"].pop("store")
    plain["provenance"] = {
        name: value for name, value in plain["provenance"].items() if name not in ("date", "seconds")
    }
    return plain


def same_artifacts(store, other):
    """Whether both stores hold the same files, with the same tensors in them."""
    files = [{path.relative_to(root) for path in root.rglob("*.safetensors")} for root in (store, other)]
    assert files[0] == files[1]
    for file in files[0]:
        parts = [Store(root).load(str(file.parent), file.stem) for root in (store, other)]
        assert parts[0].tensors.keys() == parts[1].tensors.keys()
        for name, tensor in parts[0].tensors.items():
            torch.testing.assert_close(tensor, parts[1].tensors[name], rtol=0, atol=0, equal_nan=True)
    return True


@pytest.mark.parametrize(
    "chosen",
    [
        ["attack=pgd", "adversary=eot"],
        ["attack=fgsm", "adversary=transfer", "defense=prd"],
        ["attack=none", "defense=additive_noise", "metric=smoothing"],
        ["attack=square", "adversary=query", "metric=[accuracy,denoising]"],
    ],
)
def test_shards_make_the_record_of_the_whole_run(config, tmp_path, chosen):
    whole, split = tmp_path / "whole", tmp_path / "split"
    expected = read(run(config(*SPLIT, *chosen, root=whole)))
    for shard in ("3/3", "1/3"):
        with pytest.raises(Unfinished, match=f"shard {shard} is done"):
            run(config(*SPLIT, *chosen, f"shard={shard}", root=split))
    assert results.records(split) == []
    last = read(run(config(*SPLIT, *chosen, "shard=2/3", root=split)))
    assert told(last) == told(expected)
    assert same_artifacts(whole, split)


def test_the_whole_run_merges_what_shards_did_on_stores_of_their_own(config, tmp_path, monkeypatch):
    stores = [tmp_path / "first", tmp_path / "second"]
    for number, store in enumerate(stores, 1):
        with pytest.raises(Unfinished):
            run(config(*SPLIT, "attack=fgsm", f"shard={number}/2", root=store))
    for path in (stores[1] / "adversarial").iterdir():
        path.rename(stores[0] / "adversarial" / path.name)
    attacked = []
    monkeypatch.setattr(Stages, "_attack", lambda stages, index: attacked.append(index))
    assert read(run(config(*SPLIT, "attack=fgsm", root=stores[0]))).metrics["robust_accuracy"].n == 14
    assert attacked == []


def test_more_shards_than_chunks_leave_some_without_work(config, tmp_path):
    settings = config("dataset.n=8", "attack=fgsm", "shard=5/7", root=tmp_path)
    assert len(Stages(prepare(settings)).images) == 0
    with pytest.raises(Unfinished):
        run(settings)


@pytest.mark.parametrize(("images", "size", "count"), [(22, 4, 3), (8, 4, 2), (3, 4, 2), (40, 1, 7)])
def test_shards_are_whole_chunks_and_each_image_is_in_one(images, size, count):
    shards = [Shard(number, count).rows(images, size) for number in range(1, count + 1)]
    assert torch.cat(shards).sort().values.tolist() == list(range(images))
    chunks = {tuple(part.tolist()) for part in torch.arange(images).split(size)}
    assert {tuple(part.tolist()) for rows in shards if len(rows) for part in rows.split(size)} == chunks


@pytest.mark.parametrize("text", ["0/2", "3/2", "a/b", "1/0", "-1/2", "1", "1/2/3", "1.5/2", "", " 1/2"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConfigError, match=r"it must be I/N with 1 <= I <= N, such as 2/4"):
        Shard.of(text)


@pytest.mark.parametrize("told", ["shard=3/2", "shard=a/b", "shard=0/2", "shard=2", "-m shard=1/2,3/2"])
def test_a_bad_shard_is_one_line(vqexp, tmp_path, told):
    status, out, err = vqexp(*told.split(), "scale=smoke")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "I/N" in err
    assert not (tmp_path / "store").exists()


def test_shards_of_several_splits_are_refused(vqexp):
    _, _, err = vqexp("-m", "shard=1/2,3/3", "scale=smoke")
    assert err == "vqexp: shard=1/2,3/3 mixes splits; all must have one number of shards\n"


def test_a_sweep_over_shards_ends_with_every_record(vqexp, tmp_path):
    small = ("scale=smoke", "dataset.n=8", "attack.batch_size=4", "training.epochs=1", "classifier.width=4")
    sweep = ("-m", *small, "defense=swrd,prd", "attack=fgsm")
    status, out, _ = vqexp(*sweep, "shard=2/2")
    assert (status, results.records(tmp_path / "store")) == (0, [])
    assert "2 of 2 runs wait for shards that others do" in out
    status, out, _ = vqexp(*sweep, "shard=1/2,2/2")
    assert (status, out.count("record: ")) == (0, 4)  # the other share was there already
    assert len(results.records(tmp_path / "store")) == 2
