"""The driver process of a sweep: planning, runners, tracking and reports meet here."""
