"""Bring your own images: a folder of clinical files becomes shards of the pool."""
