"""The systems that zlaq asks, as real processes on this machine: provinces, cities, the national exchange platform.

`start` runs them all and writes the `sources.toml` that leads to them; `fan` is one process that plays many equal
sources. README.md says who they are, where they differ from the ministry, and how they misbehave.
"""

from demo.counterparts.fan import fan
from demo.counterparts.handle import Counterpart
from demo.counterparts.record import Behaviour, Call
from demo.counterparts.start import Counterparts, CounterpartUnavailable, start

__all__ = ["Behaviour", "Call", "Counterpart", "CounterpartUnavailable", "Counterparts", "fan", "start"]
