"""Mixed load on an engine whose Redis is a Cluster, with what went wrong meanwhile, and the audit of it afterwards."""
