"""Shapes by name: what the settings in a scale's name make of its model."""
