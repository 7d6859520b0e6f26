"""REST systems: calls made of templates, signed by the family of the platform they stand behind."""

from adapters.rest.source import RestDriver

__all__ = ["RestDriver"]
