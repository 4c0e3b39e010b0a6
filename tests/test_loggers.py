"""Loggers."""

import pytest
import wandb

from vqexp.core.errors import ConfigError
from vqexp.loggers import NoLogger, WandB


def use(logger, directory, group=None) -> None:
    logger.log({"too": 1.0})  # before the start: nothing happens
    logger.start({"attack": {"eps": 0.03}}, group=group, name="run", dir=str(directory))
    logger.log({"train_loss": 0.5}, step=1)
    logger.finish({"robust_accuracy": 0.25})
    logger.finish({})  # once is enough


def test_none(tmp_path):
    use(NoLogger(), tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["offline", "auto"])
def test_wandb_offline(mode, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    use(WandB(project="test", mode=mode), tmp_path / "logs", group="sweep")
    (run,) = (tmp_path / "logs" / "wandb").glob("offline-run-*")
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
