"""The commands that may speak with other instances: spaces, links, deliveries, the worker."""
