"""The profiled criterion, its derivatives, and the estimates at its minimum."""
