"""What `--help` prints. Hydra's own composes a config for each of its groups, which takes seconds."""

from omegaconf import OmegaConf

from vqexp.core.config import CONF


def help_text() -> str:
    """Returns the header, every group with its choices, and the footer of `conf/hydra/help/vqexp.yaml`."""
    text = OmegaConf.load(CONF / "hydra" / "help" / "vqexp.yaml")
    lines = [f"{group}: {', '.join(sorted(choices))}" for group, choices in sorted(groups().items())]
    return "\n".join(
        [text.header, "Settings, each `group=choice` or `name=value`:\n", *lines, "", text.footer]
    )


def groups() -> dict[str, list[str]]:
    """group -> choices; not what choices build on, nor Hydra's."""
    found: dict[str, list[str]] = {}
    for path in CONF.glob("*/**/*.yaml"):
        folder = path.relative_to(CONF).parent
        if folder.parts[0] != "hydra" and "base" not in folder.parts:
            found.setdefault(folder.as_posix(), []).append(path.stem)
    return found
