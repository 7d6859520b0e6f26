"""Front-end databases (前置库): tables that a province fills, read by key, and pulled by window with receipts."""
