"""What a report holds, before it is a table: cells, comparisons, caveats."""
