"""Which of several models gets a request: by weights, or by what they were rewarded for. Decisions alone."""
