"""The ecosystems whose models the server runs, a package for each."""
