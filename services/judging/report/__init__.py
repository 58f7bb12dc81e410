"""The report of a study: one self-contained HTML page, the same as JSON, and its figures as SVG."""
