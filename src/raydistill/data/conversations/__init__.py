"""Conversations: rows of messages, their text by a chat template, what of it is learned."""
