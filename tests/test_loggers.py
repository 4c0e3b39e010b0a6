"""Loggers."""

import csv
import sys

import pytest
import wandb

from vqexp.core.errors import ConfigError, MissingError, WorkError
from vqexp.loggers import CSV, NoLogger, TensorBoard, WandB


def use(logger, directory, group=None) -> None:
    logger.log({"too": 1.0})  # before the start: nothing happens
    logger.start({"attack": {"eps": 0.03}}, group=group, name="run", dir=str(directory))
    logger.log({"train_loss": 0.5}, step=1)
    logger.finish({"robust_accuracy": 0.25})
    logger.finish({})  # once is enough


def test_none(tmp_path):
    use(NoLogger(), tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []


def test_csv(tmp_path):
    for _ in range(2):
        use(CSV(), tmp_path)
    first, second = sorted((tmp_path / "logs").iterdir(), key=lambda path: len(path.name))
    assert (first.name, second.name) == ("run.csv", "run-2.csv")
    rows = [tuple(row.values()) for row in csv.DictReader(first.read_text().splitlines())]
    assert rows == [("1", "train_loss", "0.5"), ("", "robust_accuracy", "0.25")]
    assert second.read_text() == first.read_text()


def test_tensorboard(tmp_path, capsys):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        use(TensorBoard(), tmp_path, group="sweep")
    folders = [tmp_path / "tensorboard" / "sweep" / name for name in ("run", "run-2")]
    assert f"in {folders[0]}: `tensorboard --logdir {tmp_path / 'tensorboard'}`" in capsys.readouterr().err
    for folder in folders:
        events = EventAccumulator(str(folder)).Reload()
        found = {
            name: [(each.step, each.value) for each in events.Scalars(name)] for name in events.scalars.Keys()
        }
        assert found == {"train_loss": [(1, 0.5)], "final/robust_accuracy": [(0, 0.25)]}
        (text,) = events.Tensors("config/text_summary")
        assert b'"eps": 0.03' in text.tensor_proto.string_val[0]


def test_tensorboard_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingError, match=r"pip install 'vqexp\[tensorboard\]'"):
        TensorBoard()


def test_csv_that_cannot_be_written(tmp_path):
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(WorkError, match="logs cannot be written"):
        CSV().start({}, group=None, name="run", dir=str(tmp_path))


@pytest.mark.parametrize("mode", ["offline", "auto"])
def test_wandb_offline(mode, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    use(WandB(project="test", mode=mode), tmp_path / "logs", group="sweep")
    (run,) = (tmp_path / "logs" / "wandb").glob("offline-run-*")
    assert f"`wandb sync {run}` sends them" in capsys.readouterr().err
    wandb.teardown()  # its service process writes on for a moment
    content = next(run.glob("*.wandb")).read_bytes()
    for written in (b"sweep", b"attack", b"train_loss", b"robust_accuracy"):
        assert written in content


def test_wandb_disabled_writes_nothing(tmp_path):
    use(WandB(mode="disabled"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_wandb_refuses_another_mode():
    with pytest.raises(ConfigError, match=r"logger\.mode is 'cloud'; it must be one of auto, online"):
        WandB(mode="cloud")
