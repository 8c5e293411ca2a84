"""Answers in parts: their forms, and how they are sent on the lane and on the aiohttp side."""
