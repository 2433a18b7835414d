"""The page stays light: all its files together, packed, and nothing in them that points elsewhere."""

import gzip
import re

from convscope.service.pages import STATIC

FILES = sorted(
    path for path in STATIC.rglob("*") if path.suffix in {".html", ".css", ".mjs"} and "docs" not in path.parts
)


def test_sixty_kilobytes() -> None:
    assert len(gzip.compress(b"".join(path.read_bytes() for path in FILES), 9)) <= 60 * 1024


def test_no_address_outside() -> None:
    for path in FILES:
        found = set(re.findall(r"https?://[^\s'\"`)]+", path.read_text()))
        assert found <= {"http://www.w3.org/2000/svg"}, path.name


def test_never_markup_from_data() -> None:
    for path in FILES:
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", path.read_text()), (
            path.name
        )
