"""A mixed load on real server processes under faults at random; see __main__.py."""
