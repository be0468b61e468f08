"""Text to batches: sources, corpora of tokens, tokenizer. The door to datasets and pyarrow."""
