"""Seed data, counterpart systems and the embedded database: everything that lets the product be tried on one machine.

Nothing imports this package; the command line reaches it by entry point.
"""
