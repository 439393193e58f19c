"""What is vendored under the pages is what its makers published, and each comes with its licence."""

import hashlib
from pathlib import Path

import control_center

VENDOR = Path(control_center.__file__).parent / "static" / "vendor"


def listed() -> dict[str, str]:
    """Sums by path, as `sha256sum -c` reads them."""
    lines = (VENDOR / "vendor.sha256").read_text().splitlines()
    return {path: digest for digest, _, path in (line.partition("  ") for line in lines)}


def test_every_vendored_file_has_the_sum_it_was_taken_with() -> None:
    for path, digest in listed().items():
        assert hashlib.sha256((VENDOR / path).read_bytes()).hexdigest() == digest, path


def test_nothing_is_vendored_without_a_sum() -> None:
    present = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}
    assert present - {"vendor.sha256"} == set(listed())


def test_everything_vendored_has_its_licence_beside_it() -> None:
    folders = [path for path in VENDOR.iterdir() if path.is_dir()]
    assert {path.name for path in folders} == {"uplot", "lit-html", "barlow-semi-condensed"}
    for folder in folders:
        text = (folder / "LICENSE").read_text()
        assert any(words in text for words in ("MIT License", "SIL Open Font License", "BSD 3-Clause")), folder.name
