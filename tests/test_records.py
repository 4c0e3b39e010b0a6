"""Records: read strictly, in today's format whatever theirs is; what is none is named."""

import gzip
import json
import math
import re

import pytest
from records import estimate, record

from vqexp import results
from vqexp.core.config import CONF
from vqexp.core.errors import ConfigError
from vqexp.core.keys import key_of
from vqexp.pipeline import read
from vqexp.pipeline.older import FORMAT
from vqexp.pipeline.reading import sealed
from vqexp.reports.render.summary import print_summary

PUBLISHED = CONF.parent / "results" / "records.jsonl.gz"


def written(folder, plain, name="0123"):
    path = folder / "records" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(plain if isinstance(plain, str) else json.dumps(plain))
    return path


def test_a_record_is_read_as_it_was_written(tmp_path):
    """Also a mean of nothing and an interval without ends, for which JSON has null."""
    unknown = estimate(math.nan, n=0, std=math.nan, ci95=(-math.inf, math.inf), unit="dB", title="PSNR")
    made = record(metrics={"natural_accuracy": estimate(title="natural accuracy"), "psnr": unknown})
    path = written(tmp_path, made.plain())
    assert json.loads(path.read_text())["metrics"]["psnr"]["ci95"] == [None, None]
    found = read(path)
    assert found.plain() == made.plain()
    assert found.metrics["natural_accuracy"] == made.metrics["natural_accuracy"]
    assert found.metrics["psnr"].ci95 == (-math.inf, math.inf)
    assert not found.metrics["psnr"].known
    assert found.plain()["format"] == FORMAT


def test_an_older_record_gets_titles_and_the_names_of_today(tmp_path):
    old = record({"metric": {"_target_": "vqexp.metrics.KLBound"}}, metrics={"kl_full": estimate()}).plain()
    del old["format"], old["metrics"]["kl_full"]["title"], old["metrics"]["kl_full"]["unit"]
    found = read(written(tmp_path, old))
    assert found.config["metric"]["_target_"] == "vqexp.papers.vq.KLBound"
    assert found.metrics["kl_full"].title == "KL of codebooks, full covariances"
    assert found.metrics["kl_full"].unit == "fraction"


def test_fs_own_sigma_was_written_like_a_single_images_mean(tmp_path):
    ends = (-math.inf, math.inf)
    metrics = {"sigma_sum": estimate(7.5, n=1, ci95=ends, unit=""), "psnr": estimate(n=1, ci95=ends, unit="")}
    found = read(written(tmp_path, record(metrics=metrics).plain())).metrics
    assert found["sigma_sum"].exact
    assert found["sigma_sum"].ci95 == (7.5, 7.5)
    assert found["psnr"] == metrics["psnr"]


def test_all_published_records_are_read_with_titles():
    lines = gzip.decompress(PUBLISHED.read_bytes()).decode().splitlines()
    found = results.records(PUBLISHED)
    assert [each.key for each in found] == [json.loads(line)["key"] for line in lines]
    assert all(estimate.title for each in found for estimate in each.metrics.values())
    frame = results.load(PUBLISHED)
    assert {"defense", "defense.k", "metric", "mean", "reported"} <= set(frame.columns)
    assert len(frame) == sum(len(each.metrics) for each in found)
    assert frame["key"].nunique() == len(found) > 400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ('{"key": "0123", "con', "Unterminated string"),
        ("[1, 2]", "list"),
        ('{"my": "notes"}', "'config'"),
        (json.dumps({**record().plain(), "colour": "red"}), "colour: Extra inputs are not permitted"),
        (json.dumps({**record().plain(), "metrics": {"a": {"mean": "x"}}}), "metrics.a"),
        (json.dumps({**record().plain(), "format": 99}), "it has format 99"),
        (json.dumps({**record().plain(), "reported": 5}), "reported: Input should be"),
        (json.dumps({**sealed(record().plain()), "smoke": True}), "its checksum is not that of its contents"),
        (json.dumps({**record().plain(), "config": {"dataset": {"name": "a"}}}), "scale"),
    ],
)
def test_what_is_no_record_is_named_in_one_line_and_left_out(vqexp, cpu_time, tmp_path, text, reason):
    path = written(tmp_path / "store", text) if (tmp_path / "store").mkdir() is None else None
    with pytest.raises(ConfigError) as caught:
        results.load(tmp_path / "store")
    assert str(caught.value).startswith(f"{path} is no record of a run, or damaged (")
    assert reason in str(caught.value)
    status, out, err = vqexp("scale=smoke", "attack=none", "dry_run=true")
    assert status == 0
    assert re.fullmatch(r"missing \(\d+ s\)\n", out)
    told, *timing = err.splitlines()
    assert told == f"note: {caught.value}; it is left out"
    assert timing in ([], ["note: timing networks and defenses on this machine, 10 s at most"])


def test_a_damaged_file_of_records_names_the_line(tmp_path):
    path = tmp_path / "records.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(record().plain()) + "\n{").encode()))
    with pytest.raises(ConfigError, match=r"records.jsonl.gz, line 2, is no record"):
        results.records(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(ConfigError, match=r"records.jsonl.gz cannot be read"):
        results.records(path)


def test_of_a_damaged_file_of_records_what_is_whole_and_sealed_is_taken(tmp_path, capsys):
    """Not so a record without a checksum, which the damage may have changed."""
    keys = [f"{number:04}" for number in range(400)]
    plain = [record(key=key, facts={"log": key_of(key)}).plain() for key in keys]
    lines = [json.dumps(each if number % 2 else sealed(each)) for number, each in enumerate(plain)]
    path = tmp_path / "records.jsonl.gz"
    data = gzip.compress("\n".join(lines).encode())
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ConfigError, match="cannot be read"):
        results.records(path)
    found = [each.key for each in results.records(path, strict=False)]
    assert found == [key for key in keys[::2] if key in found]
    assert 20 < len(found) < 200
    assert f"{path} is damaged" in capsys.readouterr().err


def test_a_new_metric_prints_itself(capsys):
    """Each estimate under its title, or else its name, in the metric's order."""
    metrics = {"z": estimate(0.25, title="my own share"), "a": estimate(3.5, unit="nats", title="my own sum")}
    made = record({"attack": {"_target_": "a.None"}}, metrics={**metrics, "untitled": estimate()})
    print_summary(made, "PATH")
    out = capsys.readouterr().out
    places = [out.index(text) for text in ("my own share", "25.00 %", "my own sum", "3.5 nats", "untitled")]
    assert places == sorted(places)
    assert out.endswith("record: PATH\n")
