greeting greeting.mar 1.0
serve
