"""HTTP, identity, limits, errors, settings and the command line: wiring only."""
