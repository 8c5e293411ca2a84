"""How far what models are asked today lies from what they were trained on. Needs numpy alone."""
