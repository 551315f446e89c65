"""Generated from proto/invengine/v1 by proto/generate.py; never edited."""
