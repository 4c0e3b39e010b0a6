"""Composing configs of the same choices once: Hydra takes a quarter of a second for each."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import omegaconf._utils
import omegaconf.base
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.defaults_list import Overrides
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser

from vqexp.core.config import CONF

_lists, _configs = {}, {}
_parse, _load = OverridesParser.parse_rule, FileConfigSource.load_config
_create, _compose = (
    config_loader_impl.create_defaults_list,
    ConfigLoaderImpl._compose_config_from_defaults_list,
)


def compose_once():
    """Has Hydra keep, in this process, what it composes of the files of `conf`, before settings change it."""
    config_loader_impl.create_defaults_list = _defaults_list
    ConfigLoaderImpl._compose_config_from_defaults_list = _composed
    FileConfigSource.load_config = _loaded
    ConfigStore.__deepcopy__ = lambda self, memo: self  # with each loader; what is taken from it is a copy
    OverridesParser.parse_rule = lambda self, text, rule: deepcopy(_parsed(text, rule))
    omegaconf.base.parse = omegaconf._utils.parse = cache(omegaconf.base.parse)  # of interpolations


@cache
def _parsed(text, rule):
    return _parse(OverridesParser.create(), text, rule)


@cache
def _file(provider, name):
    return _load(FileConfigSource(provider, str(CONF)), name)


def _loaded(self, name):
    return deepcopy(_file(self.provider, name)) if self.path == str(CONF) else _load(self, name)


def _is_ours(repo):
    """Whether configs are looked for in `conf` and in packages alone, whose files do not change."""
    found = [source for source in repo.get_sources() if source.scheme() == "file"]
    return [source.path for source in found] == [str(CONF)]


def _defaults_list(repo, config_name, overrides_list, **settings):
    told = Overrides(repo, overrides_list).config_overrides
    chosen = [each.input_line for each in overrides_list if each not in told]
    # a launcher's or sweeper's config may come and go with its package
    if not _is_ours(repo) or any("hydra/" in text for text in chosen):
        return _create(repo, config_name, overrides_list, **settings)
    key = config_name, *chosen, *settings.items()
    if key not in _lists:
        _lists[key] = _create(repo, config_name, overrides_list, **settings)
    return replace(_lists[key], config_overrides=told)


def _composed(self, defaults, repo):
    if not _is_ours(repo):
        return _compose(self, defaults, repo)
    key = str(defaults)
    if key not in _configs:
        _configs[key] = _compose(self, defaults, repo)
    return deepcopy(_configs[key])
