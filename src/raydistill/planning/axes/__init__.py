"""Axes that are no sweep's own: any field of a request, a recipe or a loss, named by flags."""
