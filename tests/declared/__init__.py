"""Entities that exist for tests only: declared like the product's, and loaded by the name of this package."""
