"""The files of the page and a walk in; one HTML file out that opens from a disk and asks nobody for anything."""

import base64
import json
import mimetypes
import posixpath
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

STATIC = Path(str(resources.files("convscope"))) / "service" / "static"
ADDRESS = "/static/"
# nothing but what is in the file: a request that a mistake would make is refused by the browser
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src data: blob:"
)
SPECIFIER = re.compile(r"""((?:\bfrom\s*|\bimport\s*\(?\s*)['"`])(\.{1,2}/[^'"`]*)""")


def whole_page(walk: Mapping[str, Any], static: Path = STATIC) -> str:
    """`index.html` with style, scripts and icon in it, and `walk` as ``<script type="application/json" id="walk">``.

    A module in a data URL has no folder, so each goes by the path of its file in an import map, and what it imports is
    called by that.
    """
    page = (static / "index.html").read_text(encoding="utf-8")
    modules = {path.relative_to(static).as_posix(): path for path in sorted(static.rglob("*.mjs"))}
    imports = {
        name: _data_url(_module(name, path, static).encode(), "text/javascript") for name, path in modules.items()
    }
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<script type="application/json" id="walk">{_embedded(walk)}</script>\n'
        f'<script type="importmap">{_embedded({"imports": imports})}</script>'
    )
    page = re.sub(r"<head>", lambda _: f"<head>\n{head}", page, count=1)
    page = re.sub(
        rf'<script type="module" src="{ADDRESS}([^"]+)"></script>',
        lambda found: f'<script type="module">import "{found[1]}";</script>',
        page,
    )
    page = re.sub(
        rf'<link rel="stylesheet" href="{ADDRESS}([^"]+)">',
        lambda found: f"<style>\n{(static / found[1]).read_text(encoding='utf-8')}</style>",
        page,
    )
    return _with_files(page, static)


def _module(name: str, path: Path, static: Path) -> str:
    """The source of a module, what it imports called by its path below `static`."""
    folder = posixpath.dirname(name)

    def absolute(found: re.Match[str]) -> str:
        known, dollar, computed = found[2].partition("${")  # of `./levels/${level}.mjs` the folder is known
        inside, _, file = known.rpartition("/")
        return f"{found[1]}{posixpath.normpath(posixpath.join(folder, inside))}/{file}{dollar}{computed}"

    return _with_files(SPECIFIER.sub(absolute, path.read_text(encoding="utf-8")), static)


def _with_files(text: str, static: Path) -> str:
    """Addresses of files in quotes, such as the icon's, replaced by the files."""

    def inlined(found: re.Match[str]) -> str:
        path = static / found[2]
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return f"{found[1]}{_data_url(path.read_bytes(), kind)}{found[1]}" if path.is_file() else found[0]

    return re.sub(rf"""(['"]){ADDRESS}([\w./-]+)\1""", inlined, text)


def _data_url(content: bytes, kind: str) -> str:
    charset = ";charset=utf-8" if kind.startswith("text/") else ""
    return f"data:{kind}{charset};base64,{base64.b64encode(content).decode()}"


def _embedded(value: Mapping[str, Any]) -> str:
    """JSON that cannot end the element it stands in."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")
