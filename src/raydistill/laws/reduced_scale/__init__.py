"""Loss against compute of small models: the front, and the forms that it may have."""
