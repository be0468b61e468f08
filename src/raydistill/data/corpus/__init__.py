"""Text made into a corpus: files of tokens, held-out documents, notes on what was mended."""
