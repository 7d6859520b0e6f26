"""The commands of `zlaq`, a file for each group; `server.cli` finds them by name."""
