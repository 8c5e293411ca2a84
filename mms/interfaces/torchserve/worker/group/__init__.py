"""A model that runs in several processes, which torchrun starts: its worker passes each batch on to them."""
