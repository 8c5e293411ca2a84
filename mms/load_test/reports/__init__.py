"""What a load test came to: as JSON, as text, as a page, and beside another one."""
