"""Ministry law enforcement and inspection (督查执法检查)."""
