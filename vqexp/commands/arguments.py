"""The arguments of a command: words, and settings as `name=value`."""

from collections.abc import Collection, Sequence

from vqexp.core.errors import require


def words_and_settings(
    command: str, arguments: Sequence[str], known: Collection[str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """Returns the words and, by name, the settings among `arguments`.

    Raises `ConfigError` for a flag and, if `known` is given, for a setting that is not in it.
    """
    words = [text for text in arguments if "=" not in text]
    settings = dict(text.split("=", 1) for text in arguments if "=" in text)
    flags = [text for text in arguments if text.startswith("-")]
    require(not flags, f"vqexp {command} has no {', '.join(flags)}; --help shows what there is")
    unknown = [name for name in settings if known is not None and name not in known]
    allowed = ", ".join(known or ()) or "no settings"
    require(not unknown, f"vqexp {command} has no {', '.join(unknown)}; it takes {allowed}")
    return words, settings
