"""The module's parts that speak MRML: nodes to volumes and back, and a run on its way. No Qt, no algorithm."""
