"""A table of words that can be written as text, HTML, LaTeX, Markdown or a Word document."""
