"""Signatures of requests and of objects: values in, values out, no socket and no database.

A request is `method, url, headers, body`: `url` is built from the configured base URL and the raw path and
query, never from a Host header; header names are lower-case. `incoming.parse_request` reads the signature and
refuses what no key could make right; the caller finds the key named by `key_id`; `facts.check` verifies.
"""
