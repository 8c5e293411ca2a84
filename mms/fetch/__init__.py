"""What models' code reads from other servers: http(s) by rules, and what was fetched, once for all processes."""
