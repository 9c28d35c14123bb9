"""Mail to people, and their answers by mail."""
