"""R's output beside ours: the directive `r-output`.

    ```{r-output} fixef
    ```

shows docs/r_output/fixef.txt, which make_r_output.R wrote.  The code cells right after it become its other half: side by side
where there is room, one above the other where there is not.  The option `:alone:` leaves them where they are.
"""

import pathlib

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "r_output"


class ROutput(SphinxDirective):
    """One stored output of R."""

    required_arguments = 1
    option_spec = {"alone": directives.flag}

    def run(self):
        path = FOLDER / f"{self.arguments[0]}.txt"
        if not path.exists():
            raise self.error(f"{path.name} does not exist; examples.R has no block {self.arguments[0]!r}, or make_r_output.R was not run.")
        self.env.note_dependency(str(path))
        text = path.read_text(encoding="utf-8").rstrip("\n")
        block = nodes.literal_block(text, text, language="rconsole")
        box = nodes.container("", block, classes=["r-output"])
        box["alone"] = "alone" in self.options
        return [box]


def pair_with_cells(app, doctree):
    """Put every output of R and the cells after it into one container."""
    for box in list(doctree.findall(lambda node: isinstance(node, nodes.container) and "r-output" in node["classes"])):
        parent, at = box.parent, box.parent.index(box)
        last = at + 1
        while not box["alone"] and last < len(parent) and "cell" in parent[last].get("classes", []):
            last += 1
        followers = parent[at + 1 : last]
        if not followers and not box["alone"]:
            raise ValueError(f"{app.env.docname}: an r-output without a code cell after it; say :alone: if that is meant.")
        if followers:
            ours = nodes.container("", classes=["python-output"])
            ours.extend(followers)
            parent[at:last] = [nodes.container("", box, ours, classes=["twins"])]


def setup(app):
    app.add_directive("r-output", ROutput)
    app.connect("doctree-read", pair_with_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
