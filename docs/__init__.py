"""The documentation site; a package so that the tests can import docs.ext."""
