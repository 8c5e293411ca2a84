"""How a fleet of these servers behaves, on paper: formulas, and a simulation that they are checked against."""
