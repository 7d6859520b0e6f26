"""One file per entity, in a folder per system; discovered by `schema.registry.load_registry`."""
