"""Who may see what: the Casbin model and rules, compiled exactly into predicates over a row's policy attributes.

This is the only package that decides a right. It writes no SQL and knows no source: a `Snapshot` (one immutable policy
revision) turns a `Subject` into a `Decision`, whose predicates the rest of the house only carries.
"""
