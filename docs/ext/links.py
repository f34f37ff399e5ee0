"""Every link of the built site: does its target exist, can each page be reached, is anything fetched from elsewhere?

    python -m docs.ext.links docs/_build/html

prints what is broken and lists the links that leave the site; exits with 1 if something is broken.
"""

import pathlib
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

# Made by Sphinx, without links to them from the pages.
UNLINKED = {"search.html", "py-modindex.html"}
# Elements whose address a browser loads by itself.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


@dataclass
class Page(HTMLParser):
    """One page: its anchors, its links and what a browser loads for it."""

    text: str
    anchors: set = field(default_factory=set)
    links: list = field(default_factory=list)
    loaded: list = field(default_factory=list)

    def __post_init__(self):
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.update(filter(None, [given.get("id"), given.get("name") if tag == "a" else None]))
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in LOADED and given.get(LOADED[tag]):
            self.loaded.append(given[LOADED[tag]])

    __hash__ = object.__hash__


def read_site(folder):
    """Path -> Page of every HTML file below the folder."""
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts}


def is_elsewhere(address):
    return bool(urlsplit(address).scheme or urlsplit(address).netloc)


def target(path, address):
    """File and anchor that a local address on a page points at."""
    parts = urlsplit(address)
    return (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve(), unquote(parts.fragment)


def broken(pages):
    """Local addresses that lead nowhere, list of str."""
    known = {path.resolve(): page for path, page in pages.items()}
    found = []
    for path, page in pages.items():
        for address in (a for a in page.links + page.loaded if not is_elsewhere(a)):
            file, anchor = target(path, address)
            if not file.exists():
                found.append(f"{path}: {address} does not exist")
            elif anchor and file in known and anchor not in known[file].anchors:
                found.append(f"{path}: {address} has no such anchor")
    return found


def unreachable(pages, start):
    """Pages to which no links lead from the page `start`, list of path."""
    known = {path.resolve(): path for path in pages}
    seen, todo = set(), [start.resolve()]
    while todo:
        file = todo.pop()
        if file in seen or file not in known:
            continue
        seen.add(file)
        path = known[file]
        todo += [target(path, address)[0] for address in pages[path].links if not is_elsewhere(address)]
    return [path for file, path in known.items() if file not in seen and path.name not in UNLINKED]


def fetched(pages, folder):
    """What a browser would load from elsewhere, in pages and style sheets, list of str."""
    found = [f"{path}: {address}" for path, page in pages.items() for address in page.loaded if is_elsewhere(address)
             and not address.startswith("data:")]
    for sheet in folder.rglob("*.css"):
        imports = re.findall(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^'\")\s]+)", sheet.read_text(encoding="utf-8"))
        found += [f"{sheet}: {address}" for address in imports]
    return found


def external(pages):
    """Links that leave the site, sorted."""
    return sorted({address for page in pages.values() for address in page.links if is_elsewhere(address)})


def main(folder):
    pages = read_site(folder)
    wrong = [*broken(pages), *fetched(pages, folder), *(f"{p}: no links lead there" for p in unreachable(pages, folder / "index.html"))]
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links, {len(wrong)} wrong", *wrong, sep="\n")
    print("links that leave the site (not followed):", *external(pages), sep="\n  ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
