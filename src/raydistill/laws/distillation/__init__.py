"""A student's loss by its size, its tokens and its teacher, and which teacher a budget buys."""
