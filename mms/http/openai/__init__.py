"""Chats and completions in the form of OpenAI's API, whatever model answers them."""
