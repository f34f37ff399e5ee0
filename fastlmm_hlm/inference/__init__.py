"""Everything computed from frozen estimates: labelled results, tests, intervals."""
