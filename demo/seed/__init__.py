"""The demo's data: a made-up country of projects, enterprises, persons and inspections, the same on every run.

`load` is the door for programs, `zlaq seed` for people; `wellknown` names records that documents and tests may rely on.
"""
