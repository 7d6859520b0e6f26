"""The ministry's PostgreSQL: all SQL of the product, its migrations included."""
