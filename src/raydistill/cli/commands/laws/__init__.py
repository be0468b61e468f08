"""`raydistill law`: what was fitted, a fit of a table, and which teacher a student wants."""
