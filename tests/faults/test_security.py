"""What is not ours stays harmless: nothing is unpickled, no markup gets through, no secret is written."""

import ast
import re
from pathlib import Path

from markdown_it import MarkdownIt

from vqexp.core.config import PACKAGE
from vqexp.core.secrets import without_secrets
from vqexp.core.text import literal
from vqexp.pipeline import run

UNPICKLES = re.compile(r"pickle\.loads?\(|Unpickler|allow_pickle=True|joblib\.load|weights_only=False")


def test_nothing_is_unpickled():
    """By the package itself: `torch.load` takes tensors and plain data alone."""
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        assert not UNPICKLES.search(text), path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), path


def test_a_name_with_markup_is_shown_as_it_is():
    page = MarkdownIt("commonmark", {"html": True}).enable("table")
    for name in (
        "<script>x</script>",
        "a`b`",
        "[x](http://y)",
        "a\n\n# b",
        "&lt;b>",
        "<img src=x onerror=y>",
    ):
        shown = page.render(f"### f: {literal(name)}\n")
        assert not re.search(r"<(?!/?h3>)", shown), shown
        assert (
            re.sub(r"\s+", " ", name).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in shown
        )
    for name in ("swRD (s=3, k=25)", "k-means++", "pixel_max=1, radii=[0, 1]", "T|A"):
        assert literal(name) == name


def test_a_secret_of_the_environment_reaches_no_record_log_or_message(config, vqexp, tmp_path, monkeypatch):
    secret = "s3cr3t-0123456789"
    monkeypatch.setenv("MY_API_KEY", secret)
    monkeypatch.setenv("MONKEY", "not-a-secret")
    assert without_secrets({"a": [f"x{secret}", "not-a-secret", 3]}) == {"a": ["x***", "not-a-secret", 3]}
    told = "+classifier.normalization=${oc.env:MY_API_KEY}"
    status, _, err = vqexp("defense.init=${oc.env:MY_API_KEY}")
    assert status == 2
    assert "defense.init is '***'" in err
    settings = ("scale=smoke", "training.epochs=1", "dataset.n=4", "attack=none", "logger=csv")
    run(config(*settings, root=tmp_path / "store"), overrides=[told, f"defense.name={secret}"])
    told = (*settings, f"dataset.name={secret}", "classifier.width=4,5")
    assert vqexp("-m", *told, f"store.root={tmp_path}/store")[0] == 0
    written = [path for path in Path(tmp_path).rglob("*") if path.is_file()]
    assert {".csv", ".json", ".yaml", ".safetensors"} <= {path.suffix for path in written}
    assert not [path for path in written if secret in path.name or secret.encode() in path.read_bytes()]
