"""How a source is spoken to. An adapter carries out fetches that were decided elsewhere; it knows no caller."""
