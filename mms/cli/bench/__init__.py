"""`mms bench` and `mms tune`: load tests, and what follows from them."""
