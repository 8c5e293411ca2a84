"""Black-box tests: real processes and sockets, nothing imported from the product."""
