"""The head of one face and what lies behind it."""
