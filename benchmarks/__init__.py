"""The measured comparison with other model servers. `./scripts/bench` runs it; see cli.py."""
