"""Forms of a report: Markdown, CSV, LaTeX, HTML, terminal."""
