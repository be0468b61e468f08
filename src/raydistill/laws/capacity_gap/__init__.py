"""The law of capacity gap: the best teacher of each student, and whether a line tells it."""
