"""What is shared: entities, attributes, relations, classes, masks, scalars, code lists, regions, the predicate algebra.

The lowest package of the pipeline: it imports nothing of policy, adapters, resolvers or server, and all of them may
import it. Source: the design's chapter on the house.
"""
