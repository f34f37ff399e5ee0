"""What the site adds to Sphinx: checked examples, R's output beside Python's, entries of the API, equations as MathML."""
