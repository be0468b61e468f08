"""The page of a sweep over shapes of small models at all ages of their pretraining."""
