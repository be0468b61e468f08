"""The bytes that one device holds while a trial trains, in whole numbers and without torch."""
